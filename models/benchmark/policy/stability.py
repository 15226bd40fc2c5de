"""Whether a step stays what it is over many steps: its memory, its time, and the threads that it should have."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from time import perf_counter

import torch

from ...memory.process import process_memory, trim_heap
from ...policy import VLAPolicy
from .pictures import stepper

WARM_UP = 200
ENDURANCE = 10_000
# Parameters: of policies whose steps are short enough for that.
SMALL = 50_000_000
THROTTLED = 0.2
# Of the time of more threads: what fewer ones may take longer and still be chosen.
_TOLERANCE = 0.03


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


def choose_threads(policy: VLAPolicy, most: int, steps: int = 3) -> int:
    """The number of torch's threads with which the policy's step is fastest, by measurement.

    One core is left to cameras and control. Fewer threads are chosen where more bring less than 3 %. torch's number of
    threads is afterwards what it was before.

    Args:
        policy: on the CPU.
        most: of threads.
        steps: with each number, in turn; medians.
    """
    step = stepper(policy)

    def timed(threads: int) -> float:
        torch.set_num_threads(threads)
        begin = perf_counter()
        step()
        return perf_counter() - begin

    before = torch.get_num_threads()
    try:
        return fastest(timed, candidates(len(os.sched_getaffinity(0)), most), steps)
    finally:
        torch.set_num_threads(before)
        policy.reset()


def candidates(cores: int, most: int) -> list[int]:
    """Numbers of threads that leave a core free, if there is more than one."""
    return list(range(1, max(1, min(cores - 1, most)) + 1))


def fastest(timed: Callable[[int], float], numbers: list[int], steps: int) -> int:
    """The least number whose median is within 3 % of the best.

    Args:
        timed: seconds of a step with a number of threads.
        numbers: rising.
        steps: with each number, in turn; one more before them warms up.
    """
    if len(numbers) == 1:
        return numbers[0]
    times: dict[int, list[float]] = {number: [] for number in numbers}
    for turn in range(steps + 1):
        for number in numbers:
            seconds = timed(number)
            if turn:
                times[number].append(seconds)
    medians = {number: median(measured) for number, measured in times.items()}
    bound = min(medians.values()) * (1.0 + _TOLERANCE)
    return next(number for number in numbers if medians[number] <= bound)


def _anonymous() -> int:
    gc.collect()
    # Else what a step leaves behind would fill what earlier work freed, and not be seen.
    trim_heap()
    memory = process_memory()
    return memory.anonymous if memory.anonymous is not None else memory.rss
