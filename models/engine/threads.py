"""How many threads compute a policy on the CPU: the fastest number that leaves a core to cameras and control.

A policy that takes all cores holds back its own frames and commands.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from statistics import median
from time import perf_counter

import torch

# Of the time of more threads: what fewer ones may take longer and still be chosen.
_TOLERANCE = 0.03


def use_threads(threads: int) -> str:
    """Have torch compute with that many threads; says how many, and why.

    Set it before a policy is loaded: engines compile for a number of threads.

    Args:
        threads: 0: as many as leave a core free, and no more than torch would take by itself, which knows of
            OMP_NUM_THREADS and of cores that are two in name only.
    """
    if threads:
        torch.set_num_threads(threads)
        return f"threads: {threads}, as asked for"
    own = torch.get_num_threads()
    torch.set_num_threads(candidates(_cores(), own)[-1])
    chosen = torch.get_num_threads()
    return f"threads: {chosen}, so that cameras and control have one of {_cores()} cores (torch's own choice: {own})"


def measure_threads(step: Callable[[], object]) -> str | None:
    """Have torch compute with the fastest number of threads, up to the present one; says which, if it had a choice."""
    most = torch.get_num_threads()
    if most == 1:
        return None
    chosen = choose_threads(step, most)
    torch.set_num_threads(chosen)
    return f"threads: {chosen}, the fastest of 1 to {most} by measurement"


def choose_threads(step: Callable[[], object], most: int, steps: int = 3) -> int:
    """The number of torch's threads with which a step is fastest, by measurement; torch keeps the number it has.

    One core is left to cameras and control. Fewer threads are chosen where more bring less than 3 %.

    Args:
        step: of a policy on the CPU.
        most: of threads.
        steps: with each number, in turn; medians.
    """

    def timed(threads: int) -> float:
        torch.set_num_threads(threads)
        begin = perf_counter()
        step()
        return perf_counter() - begin

    before = torch.get_num_threads()
    try:
        return fastest(timed, candidates(_cores(), most), steps)
    finally:
        torch.set_num_threads(before)


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


def _cores() -> int:
    return len(os.sched_getaffinity(0))
