"""What the simulated base does with the commands that arrived: where the node cannot help, the base must."""

from __future__ import annotations

from collections.abc import Sequence

from ..sim.base import DiffDrive, DriveConfig, Pose2D
from .bounds import Command

BASE = DriveConfig()
_STEP = 0.005  # s


def stopping_time(speed: float) -> float:
    """S from the last command until a base that drives `speed` (m/s) stands: its timeout, its delay, its brakes."""
    return BASE.command_timeout + BASE.command_delay + speed / BASE.linear_acceleration


def time_to_rest(commands: Sequence[Command], begin: float, end: float) -> float | None:
    """Seconds from `begin` until the base stands for good; None: it still moves at `end` (s, steady clock).

    Args:
        commands: as they arrived at the base.
        begin: s, steady clock.
        end: s, steady clock.
    """
    base = DiffDrive(Pose2D(0.0, 0.0, 0.0), BASE)
    waiting = sorted(commands, key=lambda command: command.received)
    time = waiting[0].received if waiting else begin
    rest: float | None = None
    while time < end:
        while waiting and waiting[0].received <= time:
            command = waiting.pop(0)
            base.command(command.linear_x, command.angular_z, command.received)
        base.step(time, _STEP)
        time += _STEP
        stands = base.velocity.linear_x == 0.0 and base.velocity.angular_z == 0.0
        rest = (time if rest is None else rest) if stands and time >= begin else None
    return None if rest is None else rest - begin
