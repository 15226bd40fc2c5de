"""A module captured once for each shape of its inputs, and replayed from there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

Outputs = Tensor | tuple[Tensor, ...]
Work = Callable[[], Outputs]


class Recorder(Protocol):
    """A device that can record work and repeat it, in the same memory."""

    def warm_up(self, work: Work) -> None:
        """Do the work, until nothing of it is done for the first time."""

    def record(self, work: Work) -> tuple[Callable[[], None], Outputs]:
        """How to do the work again, and where it then leaves its outputs."""


@dataclass(frozen=True)
class _Recording:
    inputs: tuple[Tensor, ...]
    replay: Callable[[], None]
    outputs: Outputs


class Captured(nn.Module):
    """Takes and gives what a module does.

    A recording holds addresses: it sees weights that are changed in place, and must not outlive ones that are replaced.

    Args:
        module: without branches that depend on data.
        recorder: of the device where it is.
    """

    def __init__(self, module: nn.Module, recorder: Recorder) -> None:
        super().__init__()
        self.module = module
        self._recorder = recorder
        self._recordings: dict[tuple[tuple[torch.Size, torch.dtype], ...], _Recording] = {}

    def forward(self, *given: Tensor) -> Outputs:
        """As the module's own."""
        shapes = tuple((tensor.shape, tensor.dtype) for tensor in given)
        if shapes not in self._recordings:
            self._recordings[shapes] = self._record(given)
        recording = self._recordings[shapes]
        for kept, tensor in zip(recording.inputs, given, strict=True):
            kept.copy_(tensor)
        recording.replay()
        # The next replay writes over the outputs.
        outputs = recording.outputs
        return outputs.clone() if isinstance(outputs, Tensor) else tuple(output.clone() for output in outputs)

    def _record(self, given: tuple[Tensor, ...]) -> _Recording:
        inputs = tuple(tensor.clone(memory_format=torch.contiguous_format) for tensor in given)

        def work() -> Outputs:
            return self.module(*inputs)  # type: ignore[no-any-return]

        self._recorder.warm_up(work)
        return _Recording(inputs, *self._recorder.record(work))
