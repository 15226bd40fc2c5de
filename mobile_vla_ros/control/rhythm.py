"""How evenly the control loop runs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RhythmReport:
    """Since the last report.

    Attributes:
        rate: Hz, of its ticks.
        longest: s between two of them.
    """

    rate: float
    longest: float


class Rhythm:
    """Counts ticks; time is passed in."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """It begins anew."""
        self._last: float | None = None
        self._periods, self._sum, self._longest = 0, 0.0, 0.0

    def tick(self, steady: float) -> None:
        """The loop ran at `steady` (s)."""
        if self._last is not None:
            period = steady - self._last
            self._periods += 1
            self._sum += period
            self._longest = max(self._longest, period)
        self._last = steady

    def report(self) -> RhythmReport | None:
        """What there was since the last report; None: not two ticks."""
        if not self._sum:
            return None
        report = RhythmReport(self._periods / self._sum, self._longest)
        self._periods, self._sum, self._longest = 0, 0.0, 0.0
        return report
