"""Following a plan by where the robot is on its path, and not by the clock alone."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .limits import Limits, Velocity
from .odometry import StampedPose
from .plan import ActionPlan

STEP = 0.01  # s between points of a path
ARM = 0.4  # m that a radian of heading counts as much as
TOLERANCE = 0.02  # m: the clock is right as long as the robot is no further from where the plan has it by then
REACH = 0.4  # m of driving over which errors of heading and place die away, at least (a space constant)
SETTLE = 0.5  # s of driving, likewise: a base follows its commands late


class PlannedPath:
    """Where a plan leads, from where the robot was when its frame was taken.

    The part of the plan that has been driven is skipped: what is wanted is what the plan has at the point of the path
    that the robot is at, or at the point nearest to it. Of the points within `TOLERANCE` of that, the one that the
    clock says is taken: so a robot that stands sets off, and noise changes nothing. What is missing in heading and
    sideways is steered out over the way ahead (Samson's law), so that a robot which stands by the plan stands. Where
    the limits do not let it slow down as quickly as the plan does, it begins before. The plan's speed is never
    exceeded, nor its sense of driving changed, and it ends where its path ends or at its time, whichever comes first.

    Args:
        plan: without defect.
        start: pose of the robot at the plan's stamp.
        limits: of the motion.
    """

    def __init__(self, plan: ActionPlan, start: StampedPose, limits: Limits) -> None:
        self._plan, self._limits = plan, limits
        duration = plan.end - plan.stamp
        steps = max(1, math.ceil(duration / STEP))
        self._times = np.linspace(0.0, duration, steps + 1)
        middle = (self._times[:-1] + self._times[1:]) / 2.0
        rows = plan.dt * np.arange(len(plan.velocity))
        way, turn = (np.interp(middle, rows, plan.velocity[:, axis]) * duration / steps for axis in (0, 1))
        self._velocity = np.stack([np.interp(self._times, rows, plan.velocity[:, axis]) for axis in (0, 1)])
        self._way = np.concatenate(([0.0], np.cumsum(way)))
        self._yaw = start.yaw + np.concatenate(([0.0], np.cumsum(turn)))
        heading = self._yaw[:-1] + turn / 2.0
        self._x = start.x + np.concatenate(([0.0], np.cumsum(way * np.cos(heading))))
        self._y = start.y + np.concatenate(([0.0], np.cumsum(way * np.sin(heading))))

    def at(self, now: float, pose: StampedPose, velocity: Velocity) -> Velocity | None:
        """Velocity (m/s, rad/s) wanted now; None: the plan is used up.

        Args:
            now: s, clock of the frames.
            pose: the newest pose of the robot.
            velocity: last command, m/s, rad/s.
        """
        by_the_clock = self._plan.at(now)
        elapsed = pose.stamp - self._plan.stamp
        if by_the_clock is None or elapsed <= 0.0:
            return by_the_clock
        x, y, yaw = self._x - pose.x, self._y - pose.y, self._yaw - pose.yaw
        away = x**2 + y**2 + (ARM * yaw) ** 2
        nearest = int(away.argmin())
        on_time = int(np.abs(self._times - elapsed).argmin())
        # A path may come back to where it was: its end is not reached while the robot is where the clock has it.
        if 0 < nearest == len(away) - 1 and away[on_time] > away[nearest] + TOLERANCE**2:
            return None
        near = np.flatnonzero(away <= away[nearest] + TOLERANCE**2)
        driven = self._times[near[np.abs(self._times[near] - elapsed).argmin()]]
        age = max(now - pose.stamp, 0.0)  # of the pose; since then the clock is right
        ahead = self._plan.stamp + float(driven) + age
        wanted = self._plan.at(min(ahead, self._plan.end))
        if wanted is None:
            return None
        limits = self._limits
        linear_x = _in_time(
            wanted[0],
            velocity[0],
            self._velocity[0, nearest:],
            self._way[nearest:] - self._way[nearest] - velocity[0] * age,
            limits.linear_acceleration,
            limits.linear_jerk,
        )
        angular_z = _in_time(
            wanted[1],
            velocity[1],
            self._velocity[1, nearest:],
            yaw[nearest:] - velocity[1] * age,
            limits.angular_acceleration,
            limits.angular_jerk,
        )
        sine, cosine = math.sin(self._yaw[nearest]), math.cos(self._yaw[nearest])
        left = float(cosine * y[nearest] - sine * x[nearest])
        return _steered((linear_x, angular_z), left, float(yaw[nearest]))


def _in_time(
    wanted: float,
    speed: float,
    coming: NDArray[np.floating],
    distance: NDArray[np.floating],
    acceleration: float,
    jerk: float,
) -> float:
    """What is wanted along one axis, or what is coming if the robot has to begin to slow down for it.

    Args:
        wanted: where it is.
        speed: last command.
        coming: what the plan wants from there on.
        distance: to where it wants it.
        acceleration: limit.
        jerk: limit.
    """
    if speed == 0.0:
        return wanted
    sense = math.copysign(1.0, speed)
    change = sense * (speed - coming)
    # The way that slowing down takes, more than doing it at once would, for a robot that still gains speed.
    most = np.maximum(change, 0.0) + acceleration**2 / (2.0 * jerk)
    surplus = most * (most / acceleration + acceleration / jerk) / 2.0
    now = coming[(change > 0.0) & (surplus >= sense * distance)]
    return sense * min(sense * wanted, max(float((sense * now).min()), 0.0)) if len(now) else wanted


def _steered(wanted: Velocity, left: float, turned: float) -> Velocity:
    """A velocity that leads back to a path which lies `left` (m) of the robot, turned by so much (rad) against it."""
    linear_x, angular_z = wanted
    reach = max(REACH, abs(linear_x) * SETTLE)
    # Far from the path straight towards it, near it along it; backwards the other way round.
    towards = turned + math.copysign(math.atan(left / (2.0 * reach)), linear_x * left)
    steer = 2.0 * abs(linear_x) / reach * math.sin(min(max(towards, -math.pi / 2.0), math.pi / 2.0))
    return linear_x * max(math.cos(turned), 0.0), angular_z + steer
