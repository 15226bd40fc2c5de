"""Confidence intervals."""

from __future__ import annotations

import math

Z_95 = 1.959963984540054  # quantile of the standard normal distribution, two-sided 95 %


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
