"""A timed plan: what to do when, computed from one camera frame for one instruction."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

MOST_DT = 5.0  # s between two rows of a plan
MOST_ROWS = 1000  # of a plan
LONGEST_PLAN = 60.0  # s


@dataclass(frozen=True)
class ActionRange:
    """What a policy declares of its own output: beyond it, it is not what was trained.

    Attributes:
        minimum, maximum: linear_x (m/s) and angular_z (rad/s).
    """

    minimum: tuple[float, float]
    maximum: tuple[float, float]

    _ROUNDING: ClassVar = 1e-3  # of the range: what half precision may miss its end by

    @classmethod
    def of(cls, continuous: Iterable[Any]) -> ActionRange:
        """The range that the dimensions of an action spec declare.

        Args:
            continuous: each with `name`, `minimum` and `maximum`.

        Raises:
            KeyError: there is no linear_x or no angular_z.
        """
        ends = {dimension.name: (dimension.minimum, dimension.maximum) for dimension in continuous}
        linear_x, angular_z = ends["linear_x"], ends["angular_z"]
        return cls((linear_x[0], angular_z[0]), (linear_x[1], angular_z[1]))

    @classmethod
    def unbounded(cls) -> ActionRange:
        """That of something that declares none, such as a script."""
        return cls((-math.inf, -math.inf), (math.inf, math.inf))

    def excess(self, velocity: NDArray[np.floating]) -> str | None:
        """Which of the velocities, finite (n, 2), lies beyond the range by more than rounding; None: none."""
        for column, name in enumerate(("linear_x", "angular_z")):
            low, high = self.minimum[column], self.maximum[column]
            slack = self._ROUNDING * (high - low)
            for value in (float(velocity[:, column].min()), float(velocity[:, column].max())):
                if not low - slack <= value <= high + slack:
                    return f"{name} {value:.3f} is out of the policy's own range {low} to {high}"
        return None


@dataclass(frozen=True)
class ActionPlan:
    """Velocities and stop probabilities on a time grid that begins at the stamp of the frame they answer.

    Attributes:
        stamp: s, stamp of the frame, on the clock that `now` is read from.
        dt: s between rows.
        velocity: float (n, 2); columns are linear_x (m/s) and angular_z (rad/s); row k holds at stamp + k *
            dt.
        stop: float (n,); probability in [0, 1] that the task is done at that time.
        instruction_id: which instruction the plan answers.
    """

    stamp: float
    dt: float
    velocity: NDArray[np.floating]
    stop: NDArray[np.floating]
    instruction_id: int

    @property
    def end(self) -> float:
        """Time of the last row, s."""
        return self.stamp + (len(self.velocity) - 1) * self.dt

    def at(self, now: float) -> tuple[float, float] | None:
        """Velocity (m/s, rad/s) wanted at `now` (s), linear between rows.

        None past the last row and more than one dt before the first; up to one dt before it, the first row
        holds (the clock that stamps frames may run a little ahead).
        """
        row = self._row(now)
        if row is None:
            return None
        return _interpolated(self.velocity[:, 0], row), _interpolated(self.velocity[:, 1], row)

    def stop_at(self, now: float) -> float | None:
        """Probability that the task is done at `now` (s), linear between rows; None where `at` is None."""
        row = self._row(now)
        return None if row is None else _interpolated(self.stop, row)

    def defect(self, action_range: ActionRange) -> str | None:
        """What makes it unfit: not finite, wrong shape, too long, no probability, out of range; None: nothing."""
        if not (math.isfinite(self.stamp) and 0.0 < self.dt <= MOST_DT):
            return (
                f"stamp {self.stamp} s, dt {self.dt} s: expected a finite stamp, dt above 0 and at most {MOST_DT:g} s"
            )
        if self.velocity.ndim != 2 or self.velocity.shape[1] != 2 or len(self.velocity) == 0:
            return f"velocity has shape {self.velocity.shape}: expected (n, 2)"
        if self.stop.shape != (len(self.velocity),):
            return f"stop has shape {self.stop.shape}: expected ({len(self.velocity)},)"
        if len(self.velocity) > MOST_ROWS or (len(self.velocity) - 1) * self.dt > LONGEST_PLAN:
            return (
                f"{len(self.velocity)} rows, {self.dt:g} s apart: expected at most {MOST_ROWS} rows and "
                f"{LONGEST_PLAN:g} s"
            )
        if not np.isfinite(self.velocity).all():
            return "velocity is not finite"
        if not ((self.stop >= 0.0) & (self.stop <= 1.0)).all():
            return "stop is not a probability in [0, 1]"
        return action_range.excess(self.velocity)

    def _row(self, now: float) -> float | None:
        row = (now - self.stamp) / self.dt
        last = len(self.velocity) - 1
        # Stamps are sums of floats: a hair past the last row is still the last row. NaN compares false: None.
        return min(max(row, 0.0), float(last)) if -1.0 <= row <= last + 1e-6 else None


def _interpolated(values: NDArray[np.floating], row: float) -> float:
    before = int(row)
    after = min(before + 1, len(values) - 1)
    share = row - before
    return (1.0 - share) * float(values[before]) + share * float(values[after])
