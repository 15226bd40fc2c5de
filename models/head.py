"""The LSTM head: frame features over a window in, a chunk of actions out.

Same computation as RoboVLMs' LSTMDecoder (Li et al., 2024) with `latent` 1, its sizes and dimensions configurable.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class ActionMLP(nn.Module):
    """Linear-ReLU stack; its parameters lie at `mlp.{0,2,4,...}` as in the peer framework."""

    def __init__(self, in_features: int, widths: Sequence[int], out_features: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for width in widths:
            layers += [nn.Linear(in_features, width), nn.ReLU()]
            in_features = width
        layers.append(nn.Linear(in_features, out_features))
        self.mlp = nn.Sequential(*layers)
        for layer in layers:
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(self, states: Tensor) -> Tensor:
        """(..., in_features) -> (..., out_features), no final activation."""
        return self.mlp(states)  # type: ignore[no-any-return]


class LSTMHead(nn.Module):
    """LSTM over the window, then one MLP for the continuous group (tanh) and one for the binary group (logits)."""

    def __init__(
        self,
        in_features: int,
        hidden_size: int,
        num_layers: int,
        mlp: Sequence[int],
        chunk: int,
        continuous: int,
        binary: int,
    ) -> None:
        super().__init__()
        self.chunk = chunk
        self.rnn = nn.LSTM(in_features, hidden_size, num_layers, batch_first=True)
        self.continuous = ActionMLP(hidden_size, mlp, chunk * continuous)
        self.binary = ActionMLP(hidden_size, mlp, chunk * binary) if binary else None

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Run the LSTM from a zero state over the frames given.

        Args:
            features: (b, l, in_features), oldest frame first.

        Returns:
            continuous group (b, l, chunk, k) in [-1, 1] and logits of the binary group (b, l, chunk, m; m may be 0).
        """
        states, _ = self.rnn(features)
        batch, length, _ = states.shape
        continuous = torch.tanh(self.continuous(states)).view(batch, length, self.chunk, -1)
        if self.binary is None:
            return continuous, continuous.new_empty(batch, length, self.chunk, 0)
        return continuous, self.binary(states).view(batch, length, self.chunk, -1)


def action_loss(
    continuous: Tensor, binary: Tensor, continuous_label: Tensor, binary_label: Tensor, mask: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Huber loss (delta 1) of the continuous group and binary cross-entropy of the binary logits, as the peer's.

    Args:
        continuous: (b, l, chunk, k) in [-1, 1].
        binary: logits, (b, l, chunk, m).
        continuous_label: as `continuous`.
        binary_label: in {0, 1}, as `binary`.
        mask: bool (b, l, chunk), the entries that count; None counts all.

    Returns:
        Two scalars, means over the entries that count.

    Raises:
        ValueError: shapes differ, or no entry counts (the mean would be NaN).
    """
    if continuous.shape != continuous_label.shape or binary.shape != binary_label.shape:
        raise ValueError(
            f"labels have shapes {tuple(continuous_label.shape)} and {tuple(binary_label.shape)}, "
            f"predictions {tuple(continuous.shape)} and {tuple(binary.shape)}"
        )
    huber = nn.functional.huber_loss(continuous, continuous_label, reduction="none")
    bce = nn.functional.binary_cross_entropy_with_logits(binary, binary_label, reduction="none")
    if mask is None:
        return huber.mean(), bce.mean()
    if not bool(mask.any()):
        raise ValueError("the mask of the action loss counts no entry")
    return huber[mask].mean(), bce[mask].mean()
