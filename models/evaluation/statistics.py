"""Intervals and tests: how far a figure may lie from the truth."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Z_95 = 1.959963984540054  # quantile of the standard normal distribution, two-sided 95 %
RESAMPLES = 2000  # of a bootstrap
LOW, HIGH = 2.5, 97.5  # percentiles of a 95 % interval


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """95 % Wilson score interval of a proportion (Wilson, 1927).

    Raises:
        ValueError: no trials, or more successes than trials.
    """
    if trials <= 0 or not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes in {trials} trials is no proportion")
    share = successes / trials
    scale = 1.0 + Z_95**2 / trials
    middle = (share + Z_95**2 / (2 * trials)) / scale
    half = Z_95 / scale * math.sqrt(share * (1.0 - share) / trials + Z_95**2 / (4 * trials**2))
    # At the ends the bounds are exact; in floating point they would miss by a rounding.
    low = 0.0 if successes == 0 else middle - half
    return low, 1.0 if successes == trials else middle + half


def mcnemar_exact(only_first: int, only_second: int) -> float:
    """Two-sided p-value of McNemar's exact test: whether two success rates on the same trials differ.

    Args:
        only_first: trials in which only the first succeeded.
        only_second: trials in which only the second did.

    Raises:
        ValueError: a negative count.
    """
    if min(only_first, only_second) < 0:
        raise ValueError(f"{only_first} and {only_second} are no counts of trials")
    discordant = only_first + only_second
    # A fair coin for each discordant pair; the rarer side or rarer still, doubled.
    ways: int = sum(math.comb(discordant, heads) for heads in range(min(only_first, only_second) + 1))
    return min(1.0, 2 * ways / int(2**discordant))


def paired_difference(both: int, only_first: int, only_second: int, neither: int) -> tuple[float, float, float]:
    """Difference of two success rates on the same trials, and its 95 % interval (Newcombe, 1998, method 10).

    Returns:
        First rate minus second, lower and upper bound.

    Raises:
        ValueError: no trials.
    """
    trials = both + only_first + only_second + neither
    first, second = both + only_first, both + only_second
    low_1, high_1 = wilson_interval(first, trials)
    low_2, high_2 = wilson_interval(second, trials)
    rate_1, rate_2 = first / trials, second / trials
    phi = _phi(both, only_first, only_second, neither)
    below, above = rate_1 - low_1, high_1 - rate_1
    below_2, above_2 = rate_2 - low_2, high_2 - rate_2
    difference = rate_1 - rate_2
    # Rounding may bring a sum of squares just below zero.
    down = math.sqrt(max(0.0, below**2 - 2 * phi * below * above_2 + above_2**2))
    up = math.sqrt(max(0.0, above**2 - 2 * phi * above * below_2 + below_2**2))
    return difference, max(-1.0, difference - down), min(1.0, difference + up)


def bootstrap_counts(clusters: int, seed: int = 0, resamples: int = RESAMPLES) -> NDArray[np.float64]:
    """How often each cluster is drawn in each resample, (resamples, clusters): one table for all figures of a set.

    Raises:
        ValueError: no clusters.
    """
    if clusters <= 0:
        raise ValueError(f"{clusters} clusters cannot be resampled")
    rng = np.random.default_rng(seed)
    return rng.multinomial(clusters, np.full(clusters, 1.0 / clusters), size=resamples).astype(np.float64)


def interval(resampled: NDArray[np.float64]) -> tuple[float, float] | None:
    """95 % percentile interval of a resampled figure; None if no resample has one."""
    known = resampled[np.isfinite(resampled)]
    if len(known) == 0:
        return None
    low, high = np.percentile(known, (LOW, HIGH))
    return float(low), float(high)


def bootstrap_mean(values: NDArray[np.float64], seed: int = 0) -> tuple[float, float]:
    """95 % bootstrap interval of the mean of values, one a trial.

    Raises:
        ValueError: no values.
    """
    counts = bootstrap_counts(len(values), seed)
    low, high = np.percentile(counts @ values / len(values), (LOW, HIGH))
    return float(low), float(high)


def _phi(both: int, only_first: int, only_second: int, neither: int) -> float:
    """Correlation of the two outcomes, with Newcombe's correction for continuity."""
    product = (both + only_first) * (only_second + neither) * (both + only_second) * (only_first + neither)
    if product == 0:
        return 0.0
    excess = float(both * neither - only_first * only_second)
    half = (both + only_first + only_second + neither) / 2
    if excess > half:
        excess -= half
    elif excess >= 0.0:
        excess = 0.0
    return excess / math.sqrt(product)
