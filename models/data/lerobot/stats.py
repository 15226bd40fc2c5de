"""Statistics of features, of each episode and of all, as LeRobot's normalisation wants them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

QUANTILES = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}
_SAMPLES = 100  # pictures of an episode that are counted, evenly spread
_PIXELS = 150  # of a counted picture no more than about so many in height and width

Stats = dict[str, dict[str, Any]]


def of_numbers(values: NDArray[np.generic]) -> dict[str, Any]:
    """Of each column of (n, k), or of (n,)."""
    columns = np.asarray(values, dtype=np.float64).reshape(len(values), -1)
    found = {
        "min": columns.min(axis=0),
        "max": columns.max(axis=0),
        "mean": columns.mean(axis=0),
        "std": columns.std(axis=0),
        **{name: np.quantile(columns, share, axis=0) for name, share in QUANTILES.items()},
    }
    return {**{name: value.tolist() for name, value in found.items()}, "count": [len(columns)]}


@dataclass
class PixelCounts:
    """How often each value occurs in each colour; exact, and of any number of pictures.

    Attributes:
        counts: int64 (3, 256).
        pictures: how many were counted.
    """

    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros((3, 256), dtype=np.int64))
    pictures: int = 0

    def add(self, rgb: NDArray[np.uint8]) -> None:
        """Count a picture (h, w, 3), or of a large one every n-th row and column."""
        step = max(1, min(rgb.shape[:2]) // _PIXELS)
        for colour in range(3):
            self.counts[colour] += np.bincount(rgb[::step, ::step, colour].reshape(-1), minlength=256)
        self.pictures += 1

    def __add__(self, other: PixelCounts) -> PixelCounts:
        return PixelCounts(self.counts + other.counts, self.pictures + other.pictures)

    def stats(self) -> dict[str, Any]:
        """Of each colour, in [0, 1], shaped (3, 1, 1)."""
        value = np.arange(256) / 255.0
        share = self.counts / self.counts.sum(axis=1, keepdims=True)
        upto = np.cumsum(share, axis=1)
        mean = share @ value
        found = {
            "min": value[np.argmax(self.counts > 0, axis=1)],
            "max": value[255 - np.argmax(self.counts[:, ::-1] > 0, axis=1)],
            "mean": mean,
            "std": np.sqrt(np.maximum(share @ value**2 - mean**2, 0.0)),
            **{name: value[np.argmax(upto >= q - 1e-12, axis=1)] for name, q in QUANTILES.items()},
        }
        return {**{name: of.reshape(3, 1, 1).tolist() for name, of in found.items()}, "count": [self.pictures]}


def sampled(count: int) -> frozenset[int]:
    """Which of `count` pictures are counted."""
    return frozenset(np.linspace(0, count - 1, min(count, _SAMPLES)).round().astype(int).tolist())


def of_all(parts: Sequence[NDArray[np.generic]]) -> dict[str, Any]:
    """Of numbers in several parts."""
    return of_numbers(np.concatenate([np.asarray(part).reshape(len(part), -1) for part in parts]))
