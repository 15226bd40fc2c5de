"""When the robot must stand still, as simply as it can be said: held against what the control core decides."""

from __future__ import annotations

from ..control import Command
from ..control.controller import STARVED
from ..control.frames import MOVING
from .promises import EMERGENCY_STOP_TIMEOUT, RAMP
from .world import CONFIG, TICK, World

_ROUNDING = 1e-6  # s


class Oracle:
    """Follows a world; says why it must stand still."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._disarmed = 0.0  # s, steady, until when it was armed
        self._picture_changed = 0.0  # s of driving, since the picture did
        self._heartbeat = world.last_heartbeat  # s, steady
        self._heard = world.last_heartbeat  # s, steady: of it, or of the one hold-up since in which it may have come

    def forget_picture(self) -> None:
        """The picture is to be believed anew."""
        self._picture_changed = 0.0

    def must_stand(self) -> str:
        """Why the command of this tick must be zero; empty: it need not."""
        world, arming = self._world, self._world.arming
        if arming.armed:
            self._disarmed = world.steady
        if not world.around.frozen:
            self._picture_changed = 0.0
        self._listen()
        late = {
            "a disarmed robot": (self._disarmed, RAMP + TICK),
            "a silent camera": (world.last_frame, CONFIG.camera_timeout + TICK),
            "a silent odometry": (world.last_odometry, CONFIG.odometry_timeout + TICK),
            "a silent emergency stop": (self._heard, EMERGENCY_STOP_TIMEOUT + TICK),
            "a silent policy": (world.steady if world.pending is None else world.pending, CONFIG.policy_timeout + TICK),
        }
        plain = {
            "an emergency stop": bool(arming.latched),
            "no instruction": not world.controller.instruction,
            "a policy that failed": world.failed,
            "a clock that jumped": world.jumped,
            "a control loop that was held up": self._held_up,
            "a bad frame": world.steady - world.last_bad <= CONFIG.camera_timeout - _ROUNDING,
            "a frozen picture": self._picture_changed > CONFIG.frozen_timeout + TICK + _ROUNDING,
        }
        reasons = [name for name, (since, most) in late.items() if world.steady - since > most + _ROUNDING]
        return ", ".join(reasons + [name for name, holds in plain.items() if holds])

    @property
    def _held_up(self) -> bool:
        return self._world.gap > STARVED * TICK + _ROUNDING

    def _listen(self) -> None:
        """What came in a hold-up is read after its end: once it may have been the emergency stop's topic."""
        world = self._world
        if world.last_heartbeat != self._heartbeat:
            self._heartbeat = self._heard = world.last_heartbeat
        silence = world.steady - world.gap - self._heard
        if self._held_up and self._heard == self._heartbeat and silence <= EMERGENCY_STOP_TIMEOUT + _ROUNDING:
            self._heard = world.steady

    def see(self, command: Command) -> None:
        """Note what the robot was told."""
        if abs(command.linear_x) >= MOVING[0] or abs(command.angular_z) >= MOVING[1]:
            self._picture_changed += self._world.gap
