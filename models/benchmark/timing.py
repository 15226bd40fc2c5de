"""Two ways of the same work, timed in turn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from time import perf_counter


@dataclass(frozen=True)
class Comparison:
    """One line of the benchmark: `without` and `kept` in `unit`."""

    name: str
    without: float
    kept: float
    unit: str

    def shown(self, value: float) -> str:
        """With its unit."""
        return f"{value:.0f} {self.unit}"


def compare(name: str, without: Callable[[], object], kept: Callable[[], object], repeats: int) -> Comparison:
    """Median milliseconds of both, measured in turn so that what else the machine does falls on both alike."""
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(repeats + 1):
        for work, measured in zip((without, kept), times, strict=True):
            begin = perf_counter()
            work()
            if number:  # the first of each warms up
                measured.append((perf_counter() - begin) * 1e3)
    return Comparison(name, median(times[0]), median(times[1]), "ms")
