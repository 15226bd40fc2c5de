"""What sends zero while the control loop is held up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from ..control.controller import STARVED


class LoopGuard:
    """Commands zero from a thread of its own, once a period, while the control loop does not command anything.

    The loop's thread may wait where Python does not: for a terminal that takes no more of the log (Ctrl-S), for a disk,
    for a network. Nothing helps here where the whole process stands, or where somebody keeps the interpreter.

    Args:
        period: s, of control.
        zero: commands zero.
    """

    def __init__(self, period: float, zero: Callable[[], None]) -> None:
        self._period, self._zero = period, zero
        self._changed = threading.Condition()
        self._last: float | None = None  # s, time.monotonic() of the loop's last command; None: none is due
        self._stood_in = False
        self._closed = False
        self._thread = threading.Thread(target=self._watch, name="loop guard", daemon=True)
        self._thread.start()

    def beat(self, steady: float) -> bool:
        """The loop commands something at `steady` (s); whether zeros were commanded in its place since it last did.

        What was decided before these is then not to be gone on with.
        """
        with self._changed:
            self._last = steady
            stood_in, self._stood_in = self._stood_in, False
        return stood_in

    def rest(self) -> None:
        """Nothing is to be commanded, until the next `beat`."""
        with self._changed:
            self._last, self._stood_in = None, False

    def close(self, timeout: float) -> bool:
        """End the thread; whether it has ended within `timeout` s."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _watch(self) -> None:
        while True:
            with self._changed:
                if self._changed.wait_for(lambda: self._closed, self._period):
                    return
                late = self._last is not None and time.monotonic() - self._last > (STARVED + 1.0) * self._period
                self._stood_in |= late
            if late:
                self._zero()  # not under the lock: it may have to wait for what the loop waits for
