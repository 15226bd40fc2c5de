"""What the heads share: the MLPs that turn a frame's state into a chunk of actions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..configuration import Squash
from ..layers import Layer, build_layers


class ActionMLP(nn.Module):
    """The configured layers and a linear one to the actions; item i's parameters lie at `mlp.i`, as in RoboVLMs."""

    def __init__(self, in_features: int, layers: Sequence[Layer], out_features: int) -> None:
        super().__init__()
        self.mlp = build_layers(in_features, (*layers, out_features))

    def forward(self, states: Tensor) -> Tensor:
        """(..., in_features) -> (..., out_features), no final activation."""
        return self.mlp(states)  # type: ignore[no-any-return]


class ActionHead(nn.Module):
    """Base of the heads: one MLP for the continuous group (squashed) and one for the binary group (logits), if any.

    A head holds no state between calls: whoever rolls it out keeps the features of the window and gives all of them.
    """

    def __init__(
        self, in_features: int, mlp: Sequence[Layer], squash: Squash, chunk: int, continuous: int, binary: int
    ) -> None:
        super().__init__()
        if continuous < 1:
            raise ValueError(f"the head has {continuous} continuous dimensions, expected at least 1")
        self.chunk = chunk
        self.squash = squash
        self.continuous = ActionMLP(in_features, mlp, chunk * continuous)
        self.binary = ActionMLP(in_features, mlp, chunk * binary) if binary else None

    def actions(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """States (b, l, in_features) -> continuous (b, l, chunk, k), binary logits (b, l, chunk, m >= 0).

        -1 and 1 are the ends of a dimension's range; without a squash it can be left.
        """
        batch, length, _ = states.shape
        continuous = self.continuous(states).view(batch, length, self.chunk, -1)
        if self.squash == "tanh":
            continuous = torch.tanh(continuous)
        if self.binary is None:
            return continuous, continuous.new_empty(batch, length, self.chunk, 0)
        return continuous, self.binary(states).view(batch, length, self.chunk, -1)
