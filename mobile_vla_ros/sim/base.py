"""A differential-drive base: commanded speeds in, pose and speed out. Pure kinematics, time is passed in."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

ROBOT_RADIUS = 0.18  # m, footprint


class Pose2D(NamedTuple):
    """Place and heading in the room frame (REP-103: x forward, y left, yaw counter-clockwise).

    Attributes:
        x: m.
        y: m.
        yaw: rad, in (-pi, pi].
    """

    x: float
    y: float
    yaw: float


class Velocity(NamedTuple):
    """Speed in the robot's own frame.

    Attributes:
        linear_x: m/s, forward.
        angular_z: rad/s, counter-clockwise.
    """

    linear_x: float
    angular_z: float


class Disturbance(NamedTuple):
    """What a floor does to a robot that its wheels did not ask for.

    Attributes:
        slip: factor on the wheels' speed (1: perfect grip).
        linear_x: m/s, added.
        angular_z: rad/s, added.
    """

    slip: float = 1.0
    linear_x: float = 0.0
    angular_z: float = 0.0


@dataclass(frozen=True)
class DriveConfig:
    """How the base answers commands.

    Attributes:
        linear_acceleration: m/s^2, limit both ways.
        angular_acceleration: rad/s^2, limit both ways.
        command_delay: s from a command to its effect.
        command_timeout: s without a command after which the base brakes to a stop.
    """

    linear_acceleration: float = 1.0
    angular_acceleration: float = 3.0
    command_delay: float = 0.05
    command_timeout: float = 0.5


class DiffDrive:
    """A base that follows speed commands within its accelerations, after a delay, and brakes when they cease.

    Attributes:
        pose: in the room frame.
        velocity: true speed over ground, disturbance included.
        disturbance: set by whoever wants pushes and slips; none at first.
    """

    def __init__(self, pose: Pose2D, config: DriveConfig) -> None:
        self.pose = pose
        self.velocity = Velocity(0.0, 0.0)
        self.disturbance = Disturbance()
        self._config = config
        self._wheels = Velocity(0.0, 0.0)
        self._pending: deque[tuple[float, Velocity]] = deque()  # (time of effect, command), in order of time
        self._command = Velocity(0.0, 0.0)
        self._command_time = -math.inf

    def command(self, linear_x: float, angular_z: float, time: float) -> None:
        """Ask for a speed (m/s, rad/s) at `time` (s).

        Raises:
            ValueError: a speed that is not finite.
        """
        if not (math.isfinite(linear_x) and math.isfinite(angular_z)):
            raise ValueError(f"command ({linear_x}, {angular_z}): expected finite m/s and rad/s")
        self._pending.append((time + self._config.command_delay, Velocity(linear_x, angular_z)))

    def step(self, time: float, dt: float) -> None:
        """Move from `time` to `time + dt` (s)."""
        while self._pending and self._pending[0][0] <= time + 1e-9:
            self._command_time, self._command = self._pending.popleft()
        fresh = time - self._command_time <= self._config.command_timeout
        wanted = self._command if fresh else Velocity(0.0, 0.0)
        self._wheels = Velocity(
            _towards(self._wheels.linear_x, wanted.linear_x, self._config.linear_acceleration * dt),
            _towards(self._wheels.angular_z, wanted.angular_z, self._config.angular_acceleration * dt),
        )
        slip, linear_offset, angular_offset = self.disturbance
        self.velocity = Velocity(
            self._wheels.linear_x * slip + linear_offset, self._wheels.angular_z * slip + angular_offset
        )
        middle = self.pose.yaw + self.velocity.angular_z * dt / 2  # exact for an arc up to dt^3
        self.pose = Pose2D(
            self.pose.x + self.velocity.linear_x * math.cos(middle) * dt,
            self.pose.y + self.velocity.linear_x * math.sin(middle) * dt,
            wrap_angle(self.pose.yaw + self.velocity.angular_z * dt),
        )

    def block(self, pose: Pose2D) -> None:
        """Something is in the way: stand at `pose`, wheels still. The last command stays in force."""
        self.pose = pose
        self.velocity = Velocity(0.0, 0.0)
        self._wheels = Velocity(0.0, 0.0)


def wrap_angle(angle: float) -> float:
    """The same angle (rad) in (-pi, pi]."""
    return math.pi - (math.pi - angle) % math.tau


def _towards(value: float, goal: float, step: float) -> float:
    return value + min(max(goal - value, -step), step)
