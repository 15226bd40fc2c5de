"""Pooling of a sequence's tokens to a fixed number."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor


def pool_tokens(states: Tensor, mask: Tensor, count: int) -> Tensor:
    """Adaptive max pooling over those tokens of each sample that count, in their order.

    As torch's AdaptiveMaxPool1d(count) over just these tokens: with n of them, output i is the maximum over tokens
    floor(i * n / count) to ceil((i + 1) * n / count) - 1. Padding therefore changes nothing.

    Args:
        states: float (b, n, d).
        mask: bool (b, n), the tokens that count, at least one a sample; they need not lie side by side.
        count: number of tokens to come to, at least 1; it may exceed the number of tokens given.

    Returns:
        (b, count, d).

    Raises:
        ValueError: shapes or dtype do not fit, `count` is below 1, or a sample has no token.
    """
    tokens = _tokens(states, mask)
    if count < 1:
        raise ValueError(f"pooling: to {count} tokens, expected at least 1")
    segment = torch.arange(count, device=mask.device)
    start = segment * tokens[:, None] // count
    end = -(-(segment + 1) * tokens[:, None] // count)
    position = start[..., None] + torch.arange(int((end - start).max()), device=mask.device)
    inside = position < end[..., None]
    # Tokens that count first, each sample's in their order.
    order = (~mask).int().argsort(dim=1, stable=True)
    sample = torch.arange(len(mask), device=mask.device)[:, None, None]
    candidates = states[sample, order[sample, position.clamp(max=mask.shape[1] - 1)]]
    return candidates.masked_fill(~inside[..., None], float("-inf")).max(dim=2).values


def mean_token(states: Tensor, mask: Tensor) -> Tensor:
    """Mean (b, 1, d) of those tokens of each sample that count; arguments and errors as `pool_tokens`."""
    tokens = _tokens(states, mask)
    total = states.masked_fill(~mask[..., None], 0.0).sum(dim=1, dtype=torch.float32)
    return (total / tokens[:, None]).to(states.dtype).unsqueeze(1)


def end_token(states: Tensor, mask: Tensor, end: Literal["first", "last"]) -> Tensor:
    """The first or last (b, 1, d) of those tokens of each sample that count; arguments and errors as `pool_tokens`."""
    _tokens(states, mask)
    # The first of the greatest: of the mask itself, or of how many were counted until there.
    position = (mask.int() if end == "first" else mask.int().cumsum(dim=1)).argmax(dim=1)
    return states[torch.arange(len(states), device=states.device), position].unsqueeze(1)


def _tokens(states: Tensor, mask: Tensor) -> Tensor:
    """How many tokens of each sample count, (b,)."""
    if states.dim() != 3 or mask.shape != states.shape[:2] or mask.dtype != torch.bool:
        raise ValueError(
            f"pooling: mask is {mask.dtype} {tuple(mask.shape)}, expected torch.bool (b, n) "
            f"of states (b, n, d), which have shape {tuple(states.shape)}"
        )
    tokens = mask.sum(dim=1)
    if not bool(tokens.all()):
        raise ValueError(f"pooling: sample {int((tokens == 0).nonzero()[0])} of {len(mask)} has no token")
    return tokens
