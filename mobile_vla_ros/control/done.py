"""When a task counts as done."""

from __future__ import annotations


class DoneDetector:
    """Believes a policy that says `stop` for long enough.

    Counting begins with a plan that says `stop` with at least `threshold`; plans between `release` and `threshold`
    neither end it nor complete it; one below `release` ends it.

    Args:
        threshold: probability.
        release: probability, at most `threshold`.
        dwell: s, by the stamps of the frames that the plans answer.
        dt: s between plans; half of it is what stamps of a real camera may lack.
    """

    def __init__(self, threshold: float, release: float, dwell: float, dt: float) -> None:
        self._threshold, self._release = threshold, release
        self._dwell = dwell - dt / 2.0
        self._since: float | None = None

    def clear(self) -> None:
        """Begin anew."""
        self._since = None

    def done(self, probability: float, stamp: float) -> bool:
        """Take what a plan says of the present moment; whether the task is done now.

        Args:
            probability: that it is done.
            stamp: s, of the plan's frame.
        """
        if probability < self._release:
            self._since = None
        elif probability >= self._threshold:
            self._since = stamp if self._since is None else self._since
            return stamp - self._since >= self._dwell
        return False
