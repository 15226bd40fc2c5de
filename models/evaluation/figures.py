"""Figures as ratios of sums over episodes, so that each has an interval, and baselines that are resampled with it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .statistics import interval

CONSTANT, COPY_LAST = "constant", "copy-last"


@dataclass(frozen=True)
class Ratio:
    """Sum of `total` over sum of `weight`, each float64 (episodes,); its square root if `root`."""

    total: NDArray[np.float64]
    weight: NDArray[np.float64]
    root: bool = False

    @property
    def value(self) -> float | None:
        """Over all episodes; None where nothing was counted."""
        found = float(self.resampled(np.ones((1, len(self.total))))[0])
        return found if np.isfinite(found) else None

    def resampled(self, counts: NDArray[np.float64]) -> NDArray[np.float64]:
        """The ratio for each row of `counts` (n, episodes): float64 (n,), NaN where nothing was counted."""
        weight = counts @ self.weight
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = np.where(weight > 0.0, counts @ self.total / weight, np.nan)
        return np.sqrt(ratio) if self.root else ratio


@dataclass(frozen=True)
class Figure:
    """One number of a policy, with the same number of its baselines.

    Attributes:
        name: what it is.
        unit: "m/s", "rad/s", "m", or "" for a share.
        is_error: less is better; False for a share of which more is better.
        policy: the policy's own.
        baselines: by name.
        of_chunk: whether it depends on how far a chunk reaches.
    """

    name: str
    unit: str
    is_error: bool
    policy: Ratio
    baselines: dict[str, Ratio]
    of_chunk: bool = False

    @property
    def best_baseline(self) -> str | None:
        """Name of the one that is hardest to beat; None if none has the figure."""
        errors = {name: self._error(ratio.value) for name, ratio in self.baselines.items()}
        known = {name: error for name, error in errors.items() if error is not None}
        return min(known, key=lambda name: known[name]) if known else None

    def interval(self, counts: NDArray[np.float64]) -> tuple[float, float] | None:
        """95 % of the policy's number, by the resamples of `bootstrap_counts`."""
        return interval(self.policy.resampled(counts))

    def skill(self, counts: NDArray[np.float64]) -> tuple[float, tuple[float, float] | None] | None:
        """1 - error / error of the best baseline, and its 95 % interval; None where that baseline is without error."""
        name, own = self.best_baseline, self._error(self.policy.value)
        if name is None or own is None:
            return None
        beside = self._error(self.baselines[name].value)
        if not beside:
            return None
        errors = (ratio.resampled(counts) for ratio in (self.policy, self.baselines[name]))
        own_errors, their_errors = (values if self.is_error else 1.0 - values for values in errors)
        with np.errstate(invalid="ignore", divide="ignore"):
            spread = interval(1.0 - own_errors / their_errors)
        return 1.0 - own / beside, spread

    def difference(self, other: Figure, counts: NDArray[np.float64]) -> tuple[float, tuple[float, float] | None] | None:
        """Of this policy's number and another's on the same episodes, with its 95 % interval; None if one has none."""
        own, theirs = self.policy.value, other.policy.value
        if own is None or theirs is None:
            return None
        return own - theirs, interval(self.policy.resampled(counts) - other.policy.resampled(counts))

    def _error(self, value: float | None) -> float | None:
        return value if value is None or self.is_error else 1.0 - value


def best_of(candidates: list[Ratio], is_error: bool) -> Ratio:
    """Of several constants the one that does best, over the whole set: a baseline is not to be easy."""

    def error(ratio: Ratio) -> float:
        value = ratio.value
        if value is None:
            return np.inf
        return value if is_error else -value

    return min(candidates, key=error)
