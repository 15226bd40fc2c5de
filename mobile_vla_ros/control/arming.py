"""Permission to move: armed, disarmed, or latched by an emergency stop."""

from __future__ import annotations

from .watchdog import Watchdog


class Arming:
    """Whether the robot may move at all. It may not at the start, nor after an emergency stop was reset.

    Args:
        timeout: s that the emergency stop's topic may be silent while the robot may move; 0: it may always be.

    Attributes:
        armed: it may move.
        latched: what the emergency stop was pressed for; empty: it is not latched.
        pressed: what the emergency stop's topic said last.
        heartbeat: when it did; waits for nothing before it first has.
        reason: why it is not armed.
    """

    def __init__(self, timeout: float = 0.0) -> None:
        self.armed = False
        self.latched = ""
        self.pressed = False
        self.heartbeat = Watchdog(timeout)
        self._excused = False  # its silence has been, since it was last heard
        self.reason = "not armed yet"

    def arm(self, steady: float) -> str | None:
        """Allow motion at `steady` (s); the reason if that is refused, else None."""
        if self.latched:
            return f"emergency stop ({self.latched}): reset it first"
        silence = self._silence(steady)
        if silence:
            self.reason = f"emergency_stop: {silence}: publish it again and again"
            return self.reason
        self.armed = True
        return None

    def disarm(self, reason: str) -> None:
        """Allow no motion."""
        self.armed = False
        self.reason = reason

    def stop(self, reason: str) -> None:
        """Latch the emergency stop; the first reason stays."""
        self.disarm("emergency stop")
        self.latched = self.latched or reason

    def press(self, pressed: bool, steady: float) -> None:
        """Take what the emergency stop's topic says at `steady` (s); letting go of it does not end the latch."""
        self.pressed = pressed
        self.heartbeat.start(steady)
        self._excused = False
        if pressed:
            self.stop("pressed")

    def stop_if_silent(self, steady: float) -> bool:
        """Latch the emergency stop if its topic has been silent for too long at `steady` (s); whether it has."""
        silence = self._silence(steady)
        if silence:
            self.stop(f"its topic: {silence}")
        return bool(silence)

    def excuse_silence(self, seconds: float, steady: float) -> None:
        """Await the topic anew from `steady` (s) on: what was said in the last `seconds` may not have been read yet.

        Once only, until it has been heard again.
        """
        silence = self.heartbeat.silence(steady)
        if not self._excused and silence is not None and silence - seconds <= self.heartbeat.timeout:
            self._excused = True
            self.heartbeat.start(steady)

    def reset(self) -> str | None:
        """End the latch, which leaves it disarmed; the reason if that is refused, else None."""
        if self.pressed:
            return "the emergency stop is still pressed"
        if not self.latched:
            return "there is no emergency stop to reset"
        self.latched = ""
        self.reason = "not armed since the emergency stop was reset"
        return None

    def _silence(self, steady: float) -> str:
        """How long nothing was heard of the emergency stop's topic; empty: not for too long."""
        if self.heartbeat.timeout == 0.0:
            return ""
        if not self.heartbeat.running:
            return "never heard"
        silence = self.heartbeat.overdue(steady)
        return "" if silence is None else f"none for {silence:.2f} s"
