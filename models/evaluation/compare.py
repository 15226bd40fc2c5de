"""Two policies over the same held-out episodes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from ..errors import DataError
from .figures import Figure
from .offline import Offline
from .rows import NONE, Rows, bare, label, number, within

DIFFERENCES = ("", "first", "second", "first less second (95 % interval)", "better baseline")


@dataclass(frozen=True)
class Difference:
    """One figure of both; the interval is of resampled episodes, the same for both."""

    first: Figure
    second: Figure
    value: float | None
    interval: tuple[float, float] | None

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "name": self.first.name,
            "unit": self.first.unit,
            "less_is_better": self.first.is_error,
            "first": self.first.policy.value,
            "second": self.second.policy.value,
            "first_less_second": self.value,
            "95_bootstrap": self.interval,
        }


def compare_episodes(first: Offline, second: Offline) -> list[Difference]:
    """Every figure that both have; those of whole chunks only where the chunks reach equally far.

    Raises:
        DataError: they were not evaluated on the same episodes.
    """
    if first.sources != second.sources:
        raise DataError("two policies can be compared on the same episodes only")
    counts = first.counts
    alike = (first.dt, first.chunk) == (second.dt, second.chunk)
    others = {figure.name: figure for figure in second.figures}
    found: list[Difference] = []
    for figure in first.figures:
        if figure.name in others and (alike or not figure.of_chunk):
            difference = figure.difference(others[figure.name], counts)
            value, interval = (None, None) if difference is None else difference
            found.append(Difference(figure, others[figure.name], value, interval))
    return found


def difference_rows(differences: list[Difference]) -> Rows:
    """One row a figure, for the headings DIFFERENCES."""
    rows: Rows = []
    for one in differences:
        first, baseline = one.first, one.first.best_baseline
        beside = NONE if baseline is None else f"{number(first, first.baselines[baseline].value)} ({baseline})"
        rows.append(
            (
                label(first),
                number(first, first.policy.value),
                number(first, one.second.policy.value),
                number(first, one.value) + within(one.interval, partial(bare, first)),
                beside,
            )
        )
    return rows
