"""What the heads share: the MLPs that turn a frame's state into a chunk of actions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def linear_stack(in_features: int, widths: Sequence[int], out_features: int) -> nn.Sequential:
    """Linear layers with ReLU between them, at indices 0, 2, 4, ...; xavier-uniform weights and zero biases."""
    layers: list[nn.Module] = []
    for width in (*widths, out_features):
        linear = nn.Linear(in_features, width)
        nn.init.xavier_uniform_(linear.weight)
        nn.init.zeros_(linear.bias)
        layers += [linear, nn.ReLU()]
        in_features = width
    return nn.Sequential(*layers[:-1])


class ActionMLP(nn.Module):
    """Linear-ReLU stack; its parameters lie at `mlp.{0,2,4,...}` as in the peer framework."""

    def __init__(self, in_features: int, widths: Sequence[int], out_features: int) -> None:
        super().__init__()
        self.mlp = linear_stack(in_features, widths, out_features)

    def forward(self, states: Tensor) -> Tensor:
        """(..., in_features) -> (..., out_features), no final activation."""
        return self.mlp(states)  # type: ignore[no-any-return]


class ActionHead(nn.Module):
    """Base of the heads: one MLP for the continuous group (tanh) and one for the binary group (logits), if any.

    A head holds no state between calls: whoever rolls it out keeps the features of the window and gives all of them.
    """

    def __init__(self, in_features: int, mlp: Sequence[int], chunk: int, continuous: int, binary: int) -> None:
        super().__init__()
        if continuous < 1:
            raise ValueError(f"the head has {continuous} continuous dimensions, expected at least 1")
        self.chunk = chunk
        self.continuous = ActionMLP(in_features, mlp, chunk * continuous)
        self.binary = ActionMLP(in_features, mlp, chunk * binary) if binary else None

    def actions(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """States (b, l, in_features) -> continuous (b, l, chunk, k) in [-1, 1], binary logits (b, l, chunk, m >= 0)."""
        batch, length, _ = states.shape
        continuous = torch.tanh(self.continuous(states)).view(batch, length, self.chunk, -1)
        if self.binary is None:
            return continuous, continuous.new_empty(batch, length, self.chunk, 0)
        return continuous, self.binary(states).view(batch, length, self.chunk, -1)
