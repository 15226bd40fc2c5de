"""Fusion of a frame's features into one vector."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from .configuration import ConcatFusionConfig, SumFusionConfig
from .layers import build_layers


class SumFusion(nn.Module):
    """Sum of one linear projection per feature, then layer norm, GELU and dropout.

    A sum of projections is a linear layer over the concatenation, with each feature's weights under its own name.
    """

    def __init__(self, config: SumFusionConfig, sizes: Mapping[str, int]) -> None:
        super().__init__()
        self.projections = nn.ModuleDict({name: nn.Linear(sizes[name], config.hidden_size) for name in config.features})
        self.norm = nn.LayerNorm(config.hidden_size)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """Features by name, each (..., size) -> (..., hidden_size)."""
        projected = [projection(features[name]) for name, projection in self.projections.items()]
        summed = torch.stack(projected).sum(dim=0)
        return self.dropout(nn.functional.gelu(self.norm(summed)))  # type: ignore[no-any-return]


class ConcatFusion(nn.Module):
    """A stack of layers over the concatenation of the features, in the order of the configuration."""

    def __init__(self, config: ConcatFusionConfig, sizes: Mapping[str, int]) -> None:
        super().__init__()
        self.features = config.features
        self.layers = build_layers(sum(sizes[name] for name in config.features), config.layers)

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """Features by name, each (..., size) -> (..., hidden_size)."""
        return self.layers(torch.cat([features[name] for name in self.features], dim=-1))  # type: ignore[no-any-return]


def build_fusion(config: SumFusionConfig | ConcatFusionConfig, sizes: Mapping[str, int]) -> SumFusion | ConcatFusion:
    """The fusion of a configuration; `sizes` are the features' widths by name."""
    return SumFusion(config, sizes) if config.type == "sum" else ConcatFusion(config, sizes)
