"""Action values as tokens: uniform bins that take the place of a vocabulary's last ids."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class ActionBins:
    """OpenVLA's action tokens (Kim et al., 2024): bin i of [-1, 1] is the id `end - 1 - i`, so -1 is the last id.

    `bins` ids stand for `bins - 1` intervals: the lowest id is that of exactly +1 and decodes as its neighbour does.

    Attributes:
        bins: number of ids, at least 2; edges are `bins` points spread evenly over [-1, 1], both ends included.
        end: the id just past the last action id.

    Raises:
        ValueError: fewer than 2 bins, or ids below 0.
    """

    bins: int
    end: int

    def __post_init__(self) -> None:
        if self.bins < 2:
            raise ValueError(f"action bins: {self.bins} bins, expected at least 2")
        if self.end < self.bins:
            raise ValueError(f"action bins: {self.bins} bins do not fit below id {self.end}")

    @property
    def ids(self) -> range:
        """All action ids, ascending; the values that they stand for descend."""
        return range(self.end - self.bins, self.end)

    @property
    def binary_ids(self) -> tuple[int, int]:
        """Ids of a binary dimension's 0 and 1: those of -1 and +1."""
        return self.end - 1, self.end - self.bins

    @cached_property
    def edges(self) -> Tensor:
        """float64 (bins,), ascending from -1 to 1."""
        # numpy's: torch.linspace rounds otherwise, and a value on an edge would get its neighbour's id.
        return torch.from_numpy(np.linspace(-1.0, 1.0, self.bins))

    @cached_property
    def centres(self) -> Tensor:
        """float64 (bins - 1,), ascending."""
        return (self.edges[:-1] + self.edges[1:]) / 2.0

    def encode(self, values: Tensor) -> Tensor:
        """Values of any shape, clipped to [-1, 1] -> int64 ids of that shape.

        Raises:
            ValueError: a value is not finite.
        """
        finite = values.isfinite()
        if not bool(finite.all()):
            raise ValueError(f"action bins: cannot encode {values[~finite][0].item()}, expected a finite value")
        clipped = values.to(torch.float64).clamp(-1.0, 1.0)
        return self.end - torch.bucketize(clipped, self.edges.to(values.device), right=True)

    def decode(self, ids: Tensor) -> Tensor:
        """Integer ids of any shape -> float64 values of that shape, at most half a bin from what was encoded.

        Raises:
            ValueError: an id is no action id.
        """
        outside = (ids < self.end - self.bins) | (ids >= self.end)
        if bool(outside.any()):
            raise ValueError(f"action bins: {ids[outside][0].item()} is no action id, expected one of {self.ids}")
        index = (self.end - 1 - ids.long()).clamp(max=self.bins - 2)
        return self.centres.to(ids.device)[index]

    def encode_binary(self, labels: Tensor) -> Tensor:
        """Labels of a binary dimension, 0 or 1 in any dtype and shape -> int64 ids of that shape.

        Raises:
            ValueError: a label is neither 0 nor 1.
        """
        odd = (labels != 0) & (labels != 1)
        if bool(odd.any()):
            raise ValueError(f"action bins: binary label {labels[odd][0].item()}, expected 0 or 1")
        zero, one = self.binary_ids
        return torch.where(labels.bool(), one, zero)
