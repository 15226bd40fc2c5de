"""Who drives while corrections are recorded: a policy, and the expert where the policy would end badly.

A policy that learnt from the expert alone has never seen where its own errors lead. Recordings in which it drives, and
the expert says at every moment what it would do, show that (DAgger: Ross et al., 2011); with the expert at the wheel
before anything is hit, runs go on to their end (HG-DAgger: Kelly et al., 2019).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..control import DriveState
from .base import ROBOT_RADIUS, Pose2D, Velocity
from .pilot import CONTROL_HZ, Pilot
from .scene import Scene
from .task import edge_gap, is_still

DANGER_GAP = 0.08  # m between the robot's rim and anything but the target, from which on the expert drives
TARGET_GAP = 0.18  # m, likewise to the target
PATIENCE = 0.8  # s that the policy may stand where the expert would drive; a task ends wrongly after 1 s
TURNS = (1.0, 3.0)  # s that the expert then drives


class Takeover:
    """Decides, tick by tick, whose command the robot gets.

    Args:
        pilot: the policy.
        scene: the room.
        target: the object that the task means, if any.
        rng: draws how long the expert drives.
    """

    def __init__(self, pilot: Pilot, scene: Scene, target: str | None, rng: np.random.Generator) -> None:
        self._pilot = pilot
        self._scene = scene
        self._target = target
        self._rng = rng
        self._instruction = ""
        self._expert_until = 0
        self._stands_since: int | None = None

    def instruct(self, sentence: str) -> None:
        """Give the policy its sentence."""
        self._instruction = sentence
        self._pilot.instruct(sentence)

    def look(self, rgb: NDArray[np.uint8], tick: int) -> None:
        """Show the policy the frame of this tick, uint8 (h, w, 3); it sees the expert's driving too."""
        if self._pilot.wants(tick):
            self._pilot.see(rgb, tick)

    def command(self, tick: int, pose: Pose2D, expert: Velocity, done: bool) -> Velocity:
        """The command of this tick.

        Args:
            tick: control tick.
            pose: true pose.
            expert: what the expert would do.
            done: the expert has done the task: it stands, and so does the robot.
        """
        answer = self._pilot.command(tick)
        wanted = Velocity(answer.linear_x, answer.angular_z)
        if done or tick < self._expert_until:
            return expert
        if self._stands_too_long(tick, wanted, expert) or self._too_near(pose):
            if answer.state is DriveState.DONE:
                self._pilot.instruct(self._instruction)
            self._stands_since = None
            self._expert_until = tick + round(self._rng.uniform(*TURNS) * CONTROL_HZ)
            return expert
        return wanted

    def _stands_too_long(self, tick: int, wanted: Velocity, expert: Velocity) -> bool:
        if not is_still(wanted) or is_still(expert):
            self._stands_since = None
        elif self._stands_since is None:
            self._stands_since = tick
        return self._stands_since is not None and tick - self._stands_since >= PATIENCE * CONTROL_HZ

    def _too_near(self, pose: Pose2D) -> bool:
        gaps = [
            edge_gap(pose, item) - (TARGET_GAP if item.name == self._target else DANGER_GAP)
            for item in self._scene.objects
        ]
        walls = [size / 2 - abs(place) for size, place in zip(self._scene.size, (pose.x, pose.y), strict=True)]
        return min(gaps, default=1.0) < 0.0 or min(walls) - ROBOT_RADIUS < DANGER_GAP
