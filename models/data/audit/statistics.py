"""The few statistics that the checks share."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray


def median(values: Iterable[float]) -> float | None:
    """The median; None of nothing."""
    items = list(values)
    return float(np.median(items)) if items else None


def share(part: float, whole: float) -> float:
    """How much of `whole` is `part`; 0 of nothing."""
    return part / whole if whole > 0 else 0.0


def chance(count: int, trials: int) -> float:
    """Probability that a fair coin shows heads `count` times or more in `trials`."""
    ways: int = sum(math.comb(trials, heads) for heads in range(count, trials + 1))
    return ways / int(2**trials)


def theil_sen(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Slope of y over x that outliers do not bend: the median of the slopes between all points; x must vary."""
    first, second = np.triu_indices(len(x), 1)
    run = x[second] - x[first]
    slopes = (y[second] - y[first])[run != 0] / run[run != 0]
    return float(np.median(slopes))
