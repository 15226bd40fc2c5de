"""The exponential moving average of the weights that train (Polyak and Juditsky, 1992)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WeightAverage:
    """An average of a module's trainable parameters.

    Args:
        module: whose parameters.
        decay: of what was averaged before; less in the first steps, so that the first weights are soon forgotten.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self._decay = decay
        self._parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
        self._averages = self._copies()

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after `step` steps."""
        decay = min(self._decay, (1.0 + step) / (10.0 + step))
        for average, parameter in zip(self._averages, self._parameters, strict=True):
            average.lerp_(parameter, 1.0 - decay)

    def restart(self) -> None:
        """Take the weights as they are for their average."""
        self._averages = self._copies()

    @torch.no_grad()
    def apply(self) -> None:
        """Put the average in the weights' place."""
        for average, parameter in zip(self._averages, self._parameters, strict=True):
            parameter.copy_(average)

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """The average in the weights' place while it is open."""
        kept = self._copies()
        self.apply()
        try:
            yield
        finally:
            with torch.no_grad():
                for parameter, values in zip(self._parameters, kept, strict=True):
                    parameter.copy_(values)

    def _copies(self) -> list[Tensor]:
        return [parameter.detach().clone() for parameter in self._parameters]
