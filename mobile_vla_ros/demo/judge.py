"""Says how an instruction was followed, from the truth that the simulated robot publishes."""

from __future__ import annotations

import math

from ..sim.base import wrap_angle
from ..sim.scene import Scene
from ..sim.task import Task, TaskMonitor
from .recording import Motion, TaskRun


class Judge:
    """Follows one instruction from the moment it is given.

    Attributes:
        task: what was asked.
        distance: m driven so far.
        turned: rad turned so far, left positive.
    """

    def __init__(self, task: Task, scene: Scene, start: Motion, time_limit: float) -> None:
        """Begin.

        Args:
            task: what is asked.
            scene: the room.
            start: the newest motion before the instruction.
            time_limit: simulated s.
        """
        self.task = task
        self.distance = 0.0
        self.turned = 0.0
        self._start = start
        self._last = start
        self._monitor = TaskMonitor(task, scene, start.pose, start.stamp, time_limit)

    def update(self, motion: Motion, touched: str | None) -> TaskRun | None:
        """Take the next motion, and what the robot ran into up to then; the result when the run has ended."""
        before, self._last = self._last, motion
        self.distance += math.hypot(motion.pose.x - before.pose.x, motion.pose.y - before.pose.y)
        self.turned += wrap_angle(motion.pose.yaw - before.pose.yaw)
        outcome = self._monitor.update(motion.stamp, motion.pose, motion.velocity, touched)
        if outcome is None:
            return None
        return TaskRun(self.task, self._start.stamp, motion.stamp, outcome, self.distance, self.turned)
