"""The product of two int8 matrices, exact on every device."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .cpu import has_int8

# CUDA's int8 product wants more rows than 16, and every size a multiple of 8.
_ROWS, _MULTIPLE = 24, 8
# Sums of this many products of at most 127 * 127 are below 2^24: float32 holds them exactly.
_EXACT = 1024
# Of the right matrix, in float32: 8 MiB at a time.
_COLUMNS = 2048


def int8_matmul(left: Tensor, right: Tensor) -> Tensor:
    """Multiply the rows of two matrices: left @ right^T.

    Args:
        left: int8, -127..127, (rows, inner).
        right: int8, -127..127, (columns, inner).

    Returns:
        int32, (rows, columns).
    """
    if left.device.type == "cpu":
        return torch._int_mm(left, right.T) if has_int8() and left.numel() else _in_float(left, right)
    rows, columns = left.shape[0], right.shape[0]
    left, right = _padded(left, _ROWS), _padded(right, _MULTIPLE)
    return torch._int_mm(left, right.T)[:rows, :columns]


def _padded(matrix: Tensor, least: int) -> Tensor:
    rows, inner = matrix.shape
    below = max(least, -(-rows // _MULTIPLE) * _MULTIPLE) - rows
    right = -inner % _MULTIPLE
    return F.pad(matrix, (0, right, 0, below)) if below or right else matrix


def _in_float(left: Tensor, right: Tensor) -> Tensor:
    total = left.new_zeros(left.shape[0], right.shape[0], dtype=torch.int32)
    for first in range(0, left.shape[1], _EXACT):
        inner = slice(first, first + _EXACT)
        part = left[:, inner].float()
        for start in range(0, right.shape[0], _COLUMNS):
            columns = slice(start, start + _COLUMNS)
            total[:, columns] += (part @ right[columns, inner].float().T).to(torch.int32)
    return total
