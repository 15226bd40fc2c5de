"""Fusion of a frame's features: each is projected to one width, and the projections are added."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from .configuration import FusionConfig


class FeatureFusion(nn.Module):
    """Sum of one linear projection per feature, then layer norm, GELU and dropout.

    A sum of projections is a linear layer over the concatenation, with each feature's weights under its own name.
    """

    def __init__(self, config: FusionConfig, sizes: Mapping[str, int]) -> None:
        super().__init__()
        self.projections = nn.ModuleDict({name: nn.Linear(sizes[name], config.hidden_size) for name in config.features})
        self.norm = nn.LayerNorm(config.hidden_size)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """Features by name, each (..., size) -> (..., hidden_size)."""
        projected = [projection(features[name]) for name, projection in self.projections.items()]
        summed = torch.stack(projected).sum(dim=0)
        return self.dropout(nn.functional.gelu(self.norm(summed)))  # type: ignore[no-any-return]
