"""Which camera frames the policy gets: one per recurrent step, by stamp, whatever the camera's rate."""

from __future__ import annotations


class FrameGate:
    """Lets one frame per `dt` through: the one nearest to its due time.

    Due times lie on a grid, so that the mean rate is 1 / dt even where no frame falls on it exactly; after a
    gap the grid begins anew.

    Args:
        dt: s between the recurrent steps that the policy was trained with.
    """

    def __init__(self, dt: float) -> None:
        self._dt = dt
        self._due: float | None = None
        self._last = 0.0  # stamp of the last frame seen, s; means nothing before the first

    def reset(self) -> None:
        """Let the next frame through."""
        self._due = None

    def take(self, stamp: float) -> bool:
        """Whether the frame of this stamp (s, later than the last one) is due: the one to use."""
        due, interval = self._due, min(stamp - self._last, self._dt)
        self._last = stamp
        # The next frame comes an interval later: this one is nearest if less than half of that is missing.
        if due is not None and stamp < due - interval / 2:
            return False
        on_grid = due is not None and stamp < due + self._dt
        self._due = (due if due is not None and on_grid else stamp) + self._dt
        return True
