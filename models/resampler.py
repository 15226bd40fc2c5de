"""Perceiver resampler: any number of a picture's tokens to a fixed number."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class PerceiverAttention(nn.Module):
    """Cross-attention of the latents to the picture's tokens and to the latents themselves, no biases."""

    def __init__(self, dim: int, heads: int, head_dim: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_media = nn.LayerNorm(dim)
        self.norm_latents = nn.LayerNorm(dim)
        self.to_q = nn.Linear(dim, heads * head_dim, bias=False)
        self.to_kv = nn.Linear(dim, 2 * heads * head_dim, bias=False)
        self.to_out = nn.Linear(heads * head_dim, dim, bias=False)

    def forward(self, latents: Tensor, tokens: Tensor) -> Tensor:
        """Latents (n, k, dim) and tokens (n, q, dim) -> (n, k, dim)."""
        latents = self.norm_latents(latents)
        source = torch.cat([self.norm_media(tokens), latents], dim=1)
        query = self._split(self.to_q(latents))
        key, value = (self._split(part) for part in self.to_kv(source).chunk(2, dim=-1))
        attended = F.scaled_dot_product_attention(query, key, value)
        return self.to_out(attended.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]

    def _split(self, states: Tensor) -> Tensor:
        # (n, k, heads * head_dim) -> (n, heads, k, head_dim)
        return states.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # type: ignore[no-any-return]


class PerceiverLayer(nn.ModuleList):
    """Attention and feed-forward network, each added to the latents; a list, as its parameters lie at `0.*`, `1.*`."""

    def __init__(self, dim: int, heads: int, head_dim: int, ff_mult: int) -> None:
        feed_forward = nn.Sequential(
            nn.LayerNorm(dim),
            nn.Linear(dim, ff_mult * dim, bias=False),
            nn.GELU(),
            nn.Linear(ff_mult * dim, dim, bias=False),
        )
        super().__init__([PerceiverAttention(dim, heads, head_dim), feed_forward])

    def forward(self, latents: Tensor, tokens: Tensor) -> Tensor:
        """Latents (n, k, dim) and tokens (n, q, dim) -> (n, k, dim)."""
        attention, feed_forward = self
        latents = latents + attention(latents, tokens)
        return latents + feed_forward(latents)  # type: ignore[no-any-return]


class PerceiverResampler(nn.Module):
    """Flamingo's resampler (Alayrac et al., 2022) for single pictures: no time embeddings.

    Same computation and same parameter names as OpenFlamingo's and RoboVLMs' with one frame of one picture.
    """

    def __init__(self, dim: int, latents: int, depth: int, heads: int, head_dim: int, ff_mult: int) -> None:
        super().__init__()
        self.latents = nn.Parameter(torch.randn(latents, dim))
        self.layers = nn.ModuleList(PerceiverLayer(dim, heads, head_dim, ff_mult) for _ in range(depth))
        self.norm = nn.LayerNorm(dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens of n pictures, float (n, q, dim) with any q -> (n, latents, dim)."""
        latents = self.latents.expand(len(tokens), -1, -1)
        for layer in self.layers:
            latents = layer(latents, tokens)
        return self.norm(latents)  # type: ignore[no-any-return]
