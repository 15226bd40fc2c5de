"""Proprioceptive state as a token."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .configuration import StateDimension


class StateEncoder(nn.Module):
    """State of any width -> one embedding; each dimension is normalised by the configuration's mean and std first."""

    mean: Tensor
    std: Tensor

    def __init__(self, dimensions: Sequence[StateDimension], width: int) -> None:
        super().__init__()
        # Not among the weights: the configuration holds them.
        self.register_buffer("mean", torch.tensor([d.mean for d in dimensions]), persistent=False)
        self.register_buffer("std", torch.tensor([d.std for d in dimensions]), persistent=False)
        self.mlp = nn.Sequential(nn.Linear(len(dimensions), width), nn.GELU(), nn.Linear(width, width))

    def forward(self, state: Tensor) -> Tensor:
        """(..., S), each dimension in its own unit -> (..., width).

        Raises:
            ValueError: another number of dimensions than configured.
        """
        if state.shape[-1] != len(self.mean):
            raise ValueError(f"state has {state.shape[-1]} dimensions, the policy was made for {len(self.mean)}")
        normalised = (state - self.mean) / self.std
        return self.mlp(normalised.to(next(self.mlp.parameters()).dtype))  # type: ignore[no-any-return]
