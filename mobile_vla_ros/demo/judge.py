"""Says how an instruction was followed, from the true pose that the simulated robot publishes."""

from __future__ import annotations

import math

from ..sim.base import Pose2D, wrap_angle
from ..sim.task import Task, TaskMonitor
from ..sim.world import PHYSICS_PERIOD, World
from .recording import Motion, TaskRun

TOUCH_DISTANCE = 0.006  # m: a blocked robot stands less than one physics step before what it ran into


class Judge:
    """Follows one instruction from the moment it is given.

    `/odom` does not say what the robot touches; the same room in this process does.

    Attributes:
        task: what was asked.
        distance: m driven so far.
        turned: rad turned so far, left positive.
    """

    def __init__(self, task: Task, twin: World, start: Motion, time_limit: float) -> None:
        self.task = task
        self.distance = 0.0
        self.turned = 0.0
        self._twin = twin
        self._start = start
        self._last = start
        self._monitor = TaskMonitor(task, twin.scene, start.pose, start.stamp, time_limit)

    def update(self, motion: Motion) -> TaskRun | None:
        """Take the next motion; the result when the run has ended."""
        before, self._last = self._last, motion
        self.distance += math.hypot(motion.pose.x - before.pose.x, motion.pose.y - before.pose.y)
        self.turned += wrap_angle(motion.pose.yaw - before.pose.yaw)
        outcome = self._monitor.update(
            motion.stamp, motion.pose, motion.velocity, touched(self._twin, motion.pose)
        )
        if outcome is None:
            return None
        return TaskRun(self.task, self._start.stamp, motion.stamp, outcome, self.distance, self.turned)


def touched(twin: World, pose: Pose2D) -> str | None:
    """What a robot at `pose` is in touch with, ahead or behind: an object's name, "wall", or None."""
    for ahead in (TOUCH_DISTANCE, -TOUCH_DISTANCE):
        place = Pose2D(pose.x + ahead * math.cos(pose.yaw), pose.y + ahead * math.sin(pose.yaw), pose.yaw)
        twin.move_robot(place)
        twin.step(PHYSICS_PERIOD)
        if twin.touched is not None:
            return twin.touched
    return None
