"""A tensor in a file of weights: what it is and where its bytes lie, read without loading any of them."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path

import torch


@dataclass(frozen=True)
class TensorEntry:
    """Where a tensor lies.

    Attributes:
        dtype: of its elements.
        shape: sizes.
        stride: elements from one index to the next, per dimension.
        file: that holds it.
        offset: byte in `file` of its first element.
        storage: byte in `file` where the storage begins that it is a view of; tensors that share one are tied.
    """

    dtype: torch.dtype
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    file: Path
    offset: int
    storage: int

    @property
    def numel(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of its elements."""
        return self.numel * self.dtype.itemsize

    @property
    def is_contiguous(self) -> bool:
        """Whether its elements lie side by side, row by row."""
        expected = 1
        for size, step in zip(reversed(self.shape), reversed(self.stride), strict=True):
            if size != 1 and step != expected:
                return False
            expected *= size
        return True
