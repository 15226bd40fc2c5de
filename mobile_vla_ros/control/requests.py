"""What the policy was asked, and whether it owes an answer."""

from __future__ import annotations

from collections import deque

from .watchdog import Watchdog

MOST = 64  # frames: of a policy that never answers, the last ones are remembered


class Requests:
    """The frames that the policy was given, by their stamps. It answers in order.

    Attributes:
        watchdog: awaits its answer; on a steady clock.
    """

    def __init__(self, timeout: float) -> None:
        self.watchdog = Watchdog(timeout)
        self._asked: deque[float] = deque(maxlen=MOST)  # stamps of frames that it may still answer, s
        self._void: frozenset[float] = frozenset()  # those of before the clock jumped

    def ask(self, stamp: float, steady: float) -> None:
        """The frame of `stamp` (s) is given to it at `steady` (s)."""
        self._asked.append(stamp)
        if not self.watchdog.running:
            self.watchdog.start(steady)

    def void(self, stamp: float) -> bool:
        """Whether this is the stamp (s) of a frame of before a jump; its answer could pass for the one awaited."""
        return stamp in self._void

    def answered(self, stamp: float, steady: float) -> None:
        """It is done with the frame of `stamp` (s); it may have the next one at hand already."""
        self._void = frozenset()
        while self._asked and self._asked[0] <= stamp:
            self._asked.popleft()
        if self.watchdog.running and self._asked:
            self.watchdog.start(steady)
        else:
            self.watchdog.clear()

    def begin_next(self, steady: float) -> None:
        """It is done with a frame whose answer does not count any more, and takes up what waits, if anything does."""
        if self.watchdog.running:
            self.watchdog.start(steady)

    def expect_nothing(self) -> None:
        """What it was asked is not awaited any more."""
        self.watchdog.clear()

    def forget(self) -> None:
        """The clock jumped: what it was asked is void."""
        self.expect_nothing()
        self._void |= frozenset(self._asked)
        self._asked.clear()
