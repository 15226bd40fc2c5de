"""Says how an instruction was followed, from the truth that the simulated robot publishes."""

from __future__ import annotations

import math

from ..sim.base import wrap_angle
from ..sim.scene import Scene
from ..sim.task import STILL_ANGULAR, STILL_LINEAR, Task, TaskKind, TaskMonitor
from .recording import Motion, TaskRun

START_TIME = 3.0  # s within which a robot that was told to go somewhere has to set out


class Judge:
    """Follows one instruction from the moment it is given.

    Told to go somewhere, the robot still stands where the last instruction led it, perhaps at another object: that is
    no answer yet. It counts from when it sets out, or when START_TIME is over.

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
        self._set_out = task.kind is not TaskKind.GO_TO
        self._start = start
        self._last = start
        self._monitor = TaskMonitor(task, scene, start.pose, start.stamp, time_limit)

    def update(self, motion: Motion, touched: str | None) -> TaskRun | None:
        """Take the next motion, and what the robot ran into up to then; the result when the run has ended."""
        before, self._last = self._last, motion
        self.distance += math.hypot(motion.pose.x - before.pose.x, motion.pose.y - before.pose.y)
        self.turned += wrap_angle(motion.pose.yaw - before.pose.yaw)
        self._set_out = self._set_out or self._sets_out(motion)
        if not self._set_out and touched is None:
            return None
        outcome = self._monitor.update(motion.stamp, motion.pose, motion.velocity, touched)
        if outcome is None:
            return None
        return TaskRun(self.task, self._start.stamp, motion.stamp, outcome, self.distance, self.turned)

    def _sets_out(self, motion: Motion) -> bool:
        linear_x, angular_z = motion.velocity
        moves = abs(linear_x) >= STILL_LINEAR or abs(angular_z) >= STILL_ANGULAR
        return moves or motion.stamp - self._start.stamp >= START_TIME
