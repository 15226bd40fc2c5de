"""Weights to integers and back, row by row: a slice of rows gives the slice of the result."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import PrecisionError
from .precision import Precision

GROUPS = (128, 64, 32)
SCALE_DTYPE = torch.bfloat16
INT8_MAX, INT4_MAX = 127, 15


def group_size(in_features: int) -> int:
    """How many inputs share one int4 scale.

    Raises:
        PrecisionError: no group size divides the number of inputs.
    """
    for size in GROUPS:
        if in_features > 0 and in_features % size == 0:
            return size
    raise PrecisionError(
        f"precision int4 needs a number of inputs that is divisible by {', '.join(map(str, GROUPS[:-1]))} or "
        f"{GROUPS[-1]}, got {in_features}"
    )


def quantise(weight: Tensor, precision: Precision) -> dict[str, Tensor]:
    """Round a linear layer's weight, or a slice of its rows, to the nearest integers.

    int8 and w8a8 are symmetric, one scale per row; int4 is asymmetric, one scale and zero per `group_size` inputs.

    Args:
        weight: floating point, (out, in).
        precision: int8, w8a8 or int4.

    Returns:
        The buffers of the layer that `empty` makes: `weight` and `scale`, for int4 also `zero`.

    Raises:
        PrecisionError: not a matrix, not finite, or of a width that int4 cannot have.
    """
    if weight.dim() != 2 or not weight.is_floating_point():
        raise PrecisionError(
            f"a linear layer's weight is a matrix of floating point, got {tuple(weight.shape)} {weight.dtype}"
        )
    weight = weight.detach().float()
    if not bool(torch.isfinite(weight).all()):
        count = int((~torch.isfinite(weight)).sum())
        raise PrecisionError(f"the weight of shape {tuple(weight.shape)} has {count} values that are not finite")
    if precision is Precision.INT4:
        groups = weight.unflatten(1, (-1, group_size(weight.shape[1])))
        scale, zero = int4_grid(groups.amin(2), groups.amax(2))
        return {"weight": pack(to_int4(groups, scale, zero).flatten(1)), "scale": scale, "zero": zero}
    if precision.quantised:
        scale = symmetric_scale(weight)
        rounded = (weight / scale).round_().clamp_(-INT8_MAX, INT8_MAX)
        return {"weight": rounded.to(torch.int8), "scale": scale.squeeze(1)}
    raise PrecisionError(f"precision {precision.value} has no quantised layers")


def dequantise(tensors: dict[str, Tensor], dtype: torch.dtype = torch.float32) -> Tensor:
    """The weight, (out, in), that the tensors of `quantise` stand for."""
    weight, scale, packed = tensors["weight"], tensors["scale"], "zero" in tensors
    out = torch.empty(len(weight), weight.shape[1] * (2 if packed else 1), dtype=dtype, device=weight.device)
    return from_int4(weight, scale, tensors["zero"], out) if packed else from_int8(weight, scale, out)


def symmetric_scale(values: Tensor) -> Tensor:
    """Step of int8 for each row of the last dimension, float32, (..., 1); 1 for zeros, NaN for rows with NaN."""
    scale = values.abs().amax(-1, keepdim=True).float() / INT8_MAX
    return torch.where(scale < torch.finfo(torch.float32).tiny, 1.0, scale)


def from_int8(weight: Tensor, scale: Tensor, out: Tensor) -> Tensor:
    """Rows of int8, (rows, in), with their scales, (rows,), in floating point into `out`."""
    # One kernel on CUDA, which converts as it multiplies.
    return torch.mul(weight, scale.float().unsqueeze(1), out=out)


def int4_grid(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """The grid of 16 values from low to high that holds zero exactly.

    Returns:
        scale, bfloat16 as it is stored, so that weights are rounded to the grid that they are read back on; and zero,
        uint8, the level (0..15) of the value 0.
    """
    low, high = low.clamp(max=0), high.clamp(min=0)
    scale = ((high - low) / INT4_MAX).to(SCALE_DTYPE)
    scale = torch.where(scale < torch.finfo(SCALE_DTYPE).tiny, 1.0, scale)
    zero = (-low / scale.float()).round().clamp(0, INT4_MAX).to(torch.uint8)
    return scale, zero


def to_int4(groups: Tensor, scale: Tensor, zero: Tensor) -> Tensor:
    """Nearest levels, uint8 of 0..15, of values (rows, groups, size) on grids (rows, groups)."""
    levels = (groups / scale.float().unsqueeze(2)).add_(zero.float().unsqueeze(2)).round_()
    return levels.clamp_(0, INT4_MAX).to(torch.uint8)


def from_int4(weight: Tensor, scale: Tensor, zero: Tensor, out: Tensor) -> Tensor:
    """Packed rows, (rows, in/2), with their grids, (rows, groups), in floating point into `out`."""
    levels = unpack(weight).view(torch.int8).unflatten(1, (scale.shape[1], -1))
    levels = levels.sub_(zero.view(torch.int8).unsqueeze(2))
    torch.mul(levels, scale.float().unsqueeze(2), out=out.view(levels.shape))
    return out


def pack(levels: Tensor) -> Tensor:
    """Two levels of 0..15 in one byte, the even column in the low half: (rows, in) to (rows, in/2)."""
    return levels[:, ::2] | (levels[:, 1::2] << 4)


def unpack(packed: Tensor) -> Tensor:
    """(rows, in/2) bytes to (rows, in) levels."""
    return torch.stack((packed & 15, packed >> 4), -1).flatten(1)
