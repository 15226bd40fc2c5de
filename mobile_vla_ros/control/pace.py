"""Whether the policy keeps the step that it was trained with, and how long its answers take."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

# Share of the trained rate that is still its rhythm: a frame may be missed now and then.
ENOUGH = 0.9
WINDOW = 10.0  # s that are looked back on


@dataclass(frozen=True)
class PaceReport:
    """The last seconds.

    Attributes:
        rate: Hz, answers; of 1 / dt that the policy was trained with.
        expected: Hz, that is 1 / dt.
        step: s, (p50, p95, p99) of the policy's own time for a frame.
        age: s, (p50, p95, p99) from a frame's stamp to its answer.
        too_slow: the policy's own time does not fit dt, so that it acts in another rhythm than it learnt.
        starved: it would be fast enough, and gets too few frames.
    """

    rate: float
    expected: float
    step: tuple[float, float, float]
    age: tuple[float, float, float]
    too_slow: bool
    starved: bool

    @property
    def text(self) -> str:
        """In one line."""
        p50, _, p99 = (1e3 * seconds for seconds in self.step)
        said = f"{self.rate:.1f} Hz of {self.expected:.1f} Hz, steps of {p50:.0f} ms (p99 {p99:.0f})"
        if self.too_slow:
            return f"{said}: the policy cannot keep the dt that it was trained with"
        return f"{said}: too few frames come" if self.starved else said


class Pace:
    """Counts a policy's answers; time is passed in.

    Args:
        dt: s between steps, of the policy's training.
    """

    def __init__(self, dt: float) -> None:
        if not (math.isfinite(dt) and dt > 0.0):
            raise ValueError(f"dt is {dt}, expected a number of seconds above 0")
        self._dt = dt
        self._answers: deque[tuple[float, float, float]] = deque()

    def add(self, step: float, age: float, steady: float) -> None:
        """Count an answer.

        Args:
            step: s that the policy took.
            age: s from the frame's stamp to the answer.
            steady: s now, on a clock that never jumps.
        """
        self._answers.append((steady, step, age))

    def clear(self) -> None:
        """Forget all: after a pause nothing is known of the pace."""
        self._answers.clear()

    def report(self, steady: float) -> PaceReport | None:
        """The last seconds; None before there are two answers in them."""
        while self._answers and self._answers[0][0] < steady - WINDOW:
            self._answers.popleft()
        if len(self._answers) < 2:
            return None
        # To now, and not to the last answer: one that does not come makes the rate fall.
        span = max(steady, self._answers[-1][0]) - self._answers[0][0]
        rate = (len(self._answers) - 1) / span if span > 0.0 else math.inf
        steps, ages = ([answer[part] for answer in self._answers] for part in (1, 2))
        step = _percentiles(steps)
        slow = step[0] > self._dt
        return PaceReport(
            rate=rate,
            expected=1.0 / self._dt,
            step=step,
            age=_percentiles(ages),
            too_slow=slow,
            starved=not slow and rate < ENOUGH / self._dt,
        )


def _percentiles(values: list[float]) -> tuple[float, float, float]:
    """p50, p95 and p99, each the least value that so many do not exceed."""
    ordered = sorted(values)
    p50, p95, p99 = (ordered[max(0, math.ceil(share * len(ordered)) - 1)] for share in (0.5, 0.95, 0.99))
    return p50, p95, p99
