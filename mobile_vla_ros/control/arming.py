"""Permission to move: armed, disarmed, or latched by an emergency stop."""

from __future__ import annotations


class Arming:
    """Whether the robot may move at all. It may not at the start, nor after an emergency stop was reset.

    Attributes:
        armed: it may move.
        latched: what the emergency stop was pressed for; empty: it is not latched.
        pressed: what the emergency stop's topic said last.
        reason: why it is not armed.
    """

    def __init__(self) -> None:
        self.armed = False
        self.latched = ""
        self.pressed = False
        self.reason = "not armed yet"

    def arm(self) -> str | None:
        """Allow motion; the reason if that is refused, else None."""
        if self.latched:
            return f"emergency stop ({self.latched}): reset it first"
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

    def press(self, pressed: bool) -> None:
        """Take what the emergency stop's topic says; letting go of it does not end the latch."""
        self.pressed = pressed
        if pressed:
            self.stop("pressed")

    def reset(self) -> str | None:
        """End the latch, which leaves it disarmed; the reason if that is refused, else None."""
        if self.pressed:
            return "the emergency stop is still pressed"
        if not self.latched:
            return "there is no emergency stop to reset"
        self.latched = ""
        self.reason = "not armed since the emergency stop was reset"
        return None
