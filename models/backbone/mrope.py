"""Three-dimensional positions (mRoPE): time, row and column (Qwen2-VL: Wang et al., 2024, section 2.1)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..sequence import IMAGE_TOKEN, PADDING, Layout


def mrope_positions(layout: Layout, start: Tensor) -> tuple[Tensor, Tensor]:
    """Positions of text (the same in all three), and of the tokens of square pictures.

    A picture of side * side tokens takes as many positions as it has tokens along a side: what follows goes on one
    after the greatest position in it.

    Args:
        layout: b sequences of at most L tokens; or a part of them that divides no picture.
        start: int64 (b,), position of each sample's first token.

    Returns:
        int64 (3, b, L), and int64 (b,), where each sample goes on.

    Raises:
        ValueError: the pictures are not square.
    """
    is_image = layout.kinds == IMAGE_TOKEN
    tokens = layout.image_tokens
    side = math.isqrt(tokens)
    if side * side != tokens:
        raise ValueError(f"a picture of {tokens} tokens is not square: it has no rows and columns to count")
    inside = (is_image.cumsum(dim=1) - 1).remainder(max(tokens, 1))
    steps = torch.where(is_image, torch.where(inside == tokens - 1, side, 0), (layout.kinds != PADDING).long())
    following = start + steps.sum(dim=1)
    first = start.unsqueeze(1) + steps.cumsum(dim=1) - steps
    row = torch.where(is_image, inside // max(side, 1), 0)
    column = torch.where(is_image, inside % max(side, 1), 0)
    return torch.stack([first, first + row, first + column]), following
