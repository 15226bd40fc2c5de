"""Whether a step stays what it is over many steps: its memory and its time."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from time import perf_counter

from ...memory.process import process_memory, trim_heap

WARM_UP = 200
ENDURANCE = 10_000
# Parameters: of policies whose steps are short enough for that.
SMALL = 50_000_000
THROTTLED = 0.2


@dataclass(frozen=True)
class Stability:
    """What many steps came to.

    Attributes:
        steps: taken.
        anonymous_before, anonymous_after: bytes of the process's own memory, before and after them.
        first, last: milliseconds, median of the first and of the last tenth of the steps.
    """

    steps: int
    anonymous_before: int
    anonymous_after: int
    first: float
    last: float

    @property
    def growth(self) -> int:
        """Bytes that memory grew by."""
        return self.anonymous_after - self.anonymous_before

    @property
    def drift(self) -> float:
        """What a step takes longer at the end than at the beginning, as a share."""
        return self.last / self.first - 1.0


def run_steadily(
    step: Callable[[], object], steps: int, warm_up: int = WARM_UP, done: Callable[[], object] = lambda: None
) -> Stability:
    """Take many steps.

    Args:
        step: takes one.
        steps: at least 10.
        warm_up: steps before them, in which caches and pools fill.
        done: is called after every step.

    Raises:
        ValueError: fewer than 10 steps have no tenths.
    """
    if steps < 10:
        raise ValueError(f"{steps} steps: expected at least 10, the first and last tenth are compared")
    for _ in range(warm_up):
        step()
        done()
    times = [0.0] * steps
    before = _anonymous()
    for number in range(steps):
        begin = perf_counter()
        step()
        times[number] = perf_counter() - begin
        done()
    after = _anonymous()
    tenth = steps // 10
    return Stability(steps, before, after, median(times[:tenth]) * 1e3, median(times[-tenth:]) * 1e3)


def throttling(stability: Stability) -> str | None:
    """A sentence where steps grew slower, as on a machine that grows hot; None where they did not."""
    if stability.drift <= THROTTLED:
        return None
    return (
        f"steps took {stability.first:.1f} ms at the beginning and {stability.last:.1f} ms at the end, "
        f"{stability.drift:.0%} more: the machine throttles, or something else took its time"
    )


def _anonymous() -> int:
    gc.collect()
    # Else what a step leaves behind would fill what earlier work freed, and not be seen.
    trim_heap()
    memory = process_memory()
    return memory.anonymous if memory.anonymous is not None else memory.rss
