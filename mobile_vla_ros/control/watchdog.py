"""What notices that something has stopped: silence, and clocks that jump."""

from __future__ import annotations

import math


class Watchdog:
    """Says when something that should have happened has not, on a steady clock.

    Args:
        timeout: s of silence that are allowed.

    Attributes:
        timeout: the same.
    """

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self._since: float | None = None

    @property
    def running(self) -> bool:
        """Whether something is awaited."""
        return self._since is not None

    def start(self, steady: float) -> None:
        """Await the next event from `steady` (s) on."""
        self._since = steady

    def clear(self) -> None:
        """Nothing is awaited."""
        self._since = None

    def silence(self, steady: float) -> float | None:
        """Seconds of silence at `steady` (s); None: nothing is awaited."""
        return None if self._since is None else steady - self._since

    def overdue(self, steady: float) -> float | None:
        """Seconds of silence at `steady` (s) if they are too many, else None."""
        silence = self.silence(steady)
        return None if silence is None or silence <= self.timeout else silence  # NaN counts as too late


class ClockGuard:
    """Notices jumps of the clock that stamps frames, by holding it against a steady clock.

    A clock that runs slowly or stands still (a paused simulation) is no jump: then frames stay away, and the
    watchdog of the camera sees that on the steady clock.

    Args:
        tolerance: s that the clock may go back, or run ahead of the steady clock, between two looks.
    """

    def __init__(self, tolerance: float) -> None:
        self._tolerance = tolerance
        self._last: tuple[float, float] | None = None

    def jump(self, now: float, steady: float) -> str | None:
        """Look at both clocks (s); what happened to `now` since the last look if it jumped, else None."""
        last, self._last = self._last, (now, steady)
        if not (math.isfinite(now) and math.isfinite(steady)):
            self._last = None
            return f"the clock reads {now} s (steady clock {steady} s)"
        if last is None:
            return None
        step, passed = now - last[0], steady - last[1]
        if step < -self._tolerance:
            return f"the clock jumped back by {-step:.2f} s"
        if step > passed + self._tolerance:
            return f"the clock jumped forward by {step - passed:.2f} s"
        return None
