"""The errors of all episodes, summed up into figures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .figures import CONSTANT, COPY_LAST, Figure, Ratio, best_of
from .measure import ANGULAR_Z, TURNING, Errors, drives

POLICY = "policy"
CONSTANTS = ("mean", "median")  # of the commands: the constants that compete for the baseline

Horizon = dict[str, list[float | None]]  # by who answers: mean absolute error by row of the chunk


@dataclass(frozen=True)
class StopDelays:
    """When `stop` had been said three times in a row, less when the task was done, over the episodes that were done.

    Attributes:
        seconds: of those in which it was said; negative: too early.
        missed: in which it never was.
    """

    seconds: tuple[float, ...]
    missed: int


class Counted:
    """Errors by who answered, one an episode.

    Args:
        actions: name and unit of each continuous action, in order.
    """

    def __init__(self, actions: Sequence[tuple[str, str]]) -> None:
        self._actions = actions
        self._errors: defaultdict[str, list[Errors]] = defaultdict(list)

    def add(self, errors: dict[str, Errors]) -> None:
        """Add an episode: of the policy, of each constant, and of copy-last."""
        for name, one in errors.items():
            self._errors[name].append(one)

    def figures(self) -> list[Figure]:
        """Every figure, beside its baselines."""
        names = [name for name, _ in self._actions]
        found: list[Figure] = []
        for row, (name, unit) in enumerate(self._actions):
            found.append(self._figure(f"MAE {name}, first step", unit, True, _absolute(row, 0)))
            found.append(self._figure(f"MAE {name}, chunk", unit, True, _absolute(row, slice(None)), of_chunk=True))
            found.append(self._figure(f"RMSE {name}, chunk", unit, True, _squared(row), root=True, of_chunk=True))
        if ANGULAR_Z in names:
            found.append(self._sign())
        if drives(names):
            found.append(self._figure("ADE of the path", "m", True, lambda e: (e.path, e.paths), of_chunk=True))
            found.append(self._figure("FDE of the path", "m", True, lambda e: (e.path_end, e.paths), of_chunk=True))
        if any(one.stop.any() for one in self._errors[POLICY]):
            found.append(self._figure("stop F1", "", False, _f1))
            found.append(self._figure("stop precision", "", False, lambda e: (e.stop[1, 1], e.stop[:, 1].sum())))
            found.append(self._figure("stop recall", "", False, lambda e: (e.stop[1, 1], e.stop[1].sum())))
        return found

    def horizons(self) -> dict[str, Horizon]:
        """By action."""
        chunk = self._errors[POLICY][0].absolute.shape[1]
        found: dict[str, Horizon] = {}
        for row, (name, _) in enumerate(self._actions):
            steps = [self._figure("", "", True, _absolute(row, step)) for step in range(chunk)]
            found[name] = {
                POLICY: [step.policy.value for step in steps],
                CONSTANT: [step.baselines[CONSTANT].value for step in steps],
                COPY_LAST: [step.baselines[COPY_LAST].value for step in steps],
            }
        return found

    def stops(self, who: str) -> NDArray[np.float64]:
        """Frames by [done, said to be], (2, 2)."""
        return np.asarray(np.sum([one.stop for one in self._errors[who]], axis=0))

    def delays(self, who: str) -> StopDelays:
        """Of the episodes whose task was done."""
        delays = [one.stop_delay for one in self._errors[who] if one.stops]
        said = tuple(delay for delay in delays if delay is not None)
        return StopDelays(said, len(delays) - len(said))

    def _sign(self) -> Figure:
        name = f"sign of angular_z agrees, from {TURNING} rad/s"
        sign = self._figure(name, "", False, lambda e: (e.sign_agrees, e.sign_count))
        # Who always turns to one side may choose which.
        always = sign.baselines[CONSTANT]
        other_side = Ratio(always.weight - always.total, always.weight)
        return replace(sign, baselines={**sign.baselines, CONSTANT: best_of([always, other_side], False)})

    def _figure(
        self,
        name: str,
        unit: str,
        is_error: bool,
        part: Callable[[Errors], tuple[float, float]],
        root: bool = False,
        of_chunk: bool = False,
    ) -> Figure:
        def ratio(who: str) -> Ratio:
            parts = np.array([part(one) for one in self._errors[who]], dtype=np.float64)
            return Ratio(parts[:, 0], parts[:, 1], root)

        constant = best_of([ratio(who) for who in CONSTANTS], is_error)
        baselines = {CONSTANT: constant, COPY_LAST: ratio(COPY_LAST)}
        return Figure(name, unit, is_error, ratio(POLICY), baselines, of_chunk)


def _absolute(row: int, step: int | slice) -> Callable[[Errors], tuple[float, float]]:
    return lambda errors: (float(errors.absolute[row, step].sum()), float(errors.count[step].sum()))


def _squared(row: int) -> Callable[[Errors], tuple[float, float]]:
    return lambda errors: (float(errors.squared[row].sum()), float(errors.count.sum()))


def _f1(errors: Errors) -> tuple[float, float]:
    hits = 2.0 * errors.stop[1, 1]
    return hits, hits + errors.stop[0, 1] + errors.stop[1, 0]
