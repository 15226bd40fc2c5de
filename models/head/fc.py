"""The fully connected head."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..configuration import Squash
from ..layers import Layer, build_layers
from .mlp import ActionHead


class FCHead(ActionHead):
    """Two linear layers on each frame by itself, then the action MLPs: no history.

    Same computation as RoboVLMs' FCDecoder (Li et al., 2024) with `latent` 1.
    """

    def __init__(
        self,
        in_features: int,
        hidden_size: int,
        mlp: Sequence[Layer],
        squash: Squash,
        chunk: int,
        continuous: int,
        binary: int,
    ) -> None:
        super().__init__(hidden_size, mlp, squash, chunk, continuous, binary)
        self.mlp = build_layers(in_features, (in_features // 2, "relu", hidden_size))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Features (b, l, in_features) -> continuous (b, l, chunk, k) in [-1, 1], binary logits (b, l, chunk, m)."""
        return self.actions(self.mlp(features))
