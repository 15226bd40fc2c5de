"""The LSTM head."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from ..configuration import Squash
from ..layers import Layer
from .mlp import ActionHead


class LSTMHead(ActionHead):
    """LSTM over the window, then the action MLPs on every frame's state.

    Same computation as RoboVLMs' LSTMDecoder (Li et al., 2024) with `latent` 1, its sizes and dimensions configurable.
    """

    def __init__(
        self,
        in_features: int,
        hidden_size: int,
        num_layers: int,
        dropout: float,
        mlp: Sequence[Layer],
        squash: Squash,
        chunk: int,
        continuous: int,
        binary: int,
    ) -> None:
        if dropout > 0.0 and num_layers == 1:
            raise ValueError(f"LSTM head: dropout {dropout} acts between layers, with 1 layer it must be 0")
        super().__init__(hidden_size, mlp, squash, chunk, continuous, binary)
        self.rnn = nn.LSTM(in_features, hidden_size, num_layers, batch_first=True, dropout=dropout)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Run the LSTM from a zero state over the frames given.

        Args:
            features: (b, l, in_features), oldest frame first.

        Returns:
            continuous group (b, l, chunk, k) in [-1, 1] and logits of the binary group (b, l, chunk, m; m may be 0).
        """
        states, _ = self.rnn(features)
        return self.actions(states)
