"""The scripted driver whose runs are recorded.

It knows the room's geometry, but acts only on what a robot with a forward camera and a memory of some seconds
could know: it drives to a target that it sees or saw within the last two seconds, and looks around for any
other. Its commands are continuous functions of what is seen, so that a policy can learn them.
"""

from __future__ import annotations

import math

import numpy as np

from .base import ROBOT_RADIUS, Pose2D, Velocity, wrap_angle
from .scene import Scene, SceneObject
from .task import TURN_ANGLE, Task, TaskKind, bearing, edge_gap

MEMORY = 2.0  # s that a target is remembered after it was last seen
SPEED = 0.5  # m/s at most
TURN_RATE = 1.0  # rad/s at most
TURN_TASK_RATE = 0.9  # rad/s
HEADING_GAIN = 2.0  # 1/s: turn rate for a heading error
DRIVE_CONE = math.radians(45)  # heading error from which it turns in place
SPEED_GAIN = 1.2  # 1/s: speed for a remaining gap

GAP = 0.32  # m, edge to edge, where it comes to stand
DONE_GAP, DONE_BEARING = 0.36, math.radians(10)  # near enough to command zero
TURN_DONE = math.radians(3)

# m kept between the robot's rim and what it passes; a policy that learns from it comes closer.
CLEARANCE = 0.17
LOOK_AHEAD = 1.5  # m, edge to edge: objects farther away are not avoided yet
WALL_LOOK_AHEAD = 0.6  # m
FADE = 0.5  # m over which an object grows from ignored to fully avoided
SIDE_HYSTERESIS = math.radians(30)  # the other way round must be so much shorter for a change of mind


class Expert:
    """Drives one task in one scene.

    Attributes:
        done: the task is done; every command from here on is zero.
    """

    def __init__(self, scene: Scene, task: Task, start_pose: Pose2D) -> None:
        self.done = task.kind is TaskKind.STOP
        self._scene = scene
        self._task = task
        self._target = next((item for item in scene.objects if item.name == task.target), None)
        if task.kind is TaskKind.GO_TO and self._target is None:
            raise ValueError(f"no {task.target!r} in the scene: {[item.name for item in scene.objects]}")
        self._last_seen = -math.inf
        self._side = 0.0
        self._yaw = start_pose.yaw
        self._turned = 0.0

    def command(self, time: float, pose: Pose2D, target_visible: bool) -> Velocity:
        """Speed wanted at `time` (s) from `pose`; call it at 20 Hz.

        Args:
            time: s.
            pose: true pose.
            target_visible: the target is in the latest camera picture.
        """
        self._turned += wrap_angle(pose.yaw - self._yaw)
        self._yaw = pose.yaw
        if self.done:
            return Velocity(0.0, 0.0)
        if self._target is None:
            return self._turn()
        if target_visible:
            self._last_seen = time
        if time - self._last_seen > MEMORY:
            return Velocity(0.0, TURN_RATE)
        return self._approach(pose, self._target)

    def _turn(self) -> Velocity:
        way = 1.0 if self._task.kind is TaskKind.TURN_LEFT else -1.0
        remaining = TURN_ANGLE - way * self._turned
        if remaining < TURN_DONE:
            self.done = True
            return Velocity(0.0, 0.0)
        return Velocity(0.0, way * min(TURN_TASK_RATE, 0.1 + HEADING_GAIN * remaining))

    def _approach(self, pose: Pose2D, target: SceneObject) -> Velocity:
        remaining = max(edge_gap(pose, target) - GAP, 0.0)
        direct = bearing(pose, target)
        if edge_gap(pose, target) < DONE_GAP and abs(direct) < DONE_BEARING:
            self.done = True
            return Velocity(0.0, 0.0)
        error = wrap_angle(direct + self._detour(pose, target, remaining))
        turn = float(np.clip(HEADING_GAIN * error, -TURN_RATE, TURN_RATE))
        if edge_gap(pose, target) < DONE_GAP:
            return Velocity(0.0, turn)
        ahead = math.cos(error * math.pi / 2 / DRIVE_CONE) if abs(error) < DRIVE_CONE else 0.0
        return Velocity(ahead * min(SPEED, 0.06 + SPEED_GAIN * remaining), turn)

    def _detour(self, pose: Pose2D, target: SceneObject, remaining: float) -> float:
        """Angle (rad) to add to the target's direction so that the way there is free."""
        goal = pose.yaw + bearing(pose, target)
        blocked = [
            *(self._object_sector(pose, goal, remaining, item) for item in self._scene.objects if item is not target),
            *self._wall_sectors(pose, goal, remaining),
        ]
        left, right = _free_angle(blocked, 1.0), _free_angle(blocked, -1.0)
        if left == 0.0:
            self._side = 0.0
            return 0.0
        if self._side == 0.0 or abs(abs(left) - abs(right)) > SIDE_HYSTERESIS:
            self._side = 1.0 if left <= -right else -1.0
        return left if self._side > 0.0 else right

    def _object_sector(self, pose: Pose2D, goal: float, remaining: float, item: SceneObject) -> tuple[float, float]:
        """Middle and half width (rad, relative to `goal`) of the headings that lead too near to an object."""
        distance = math.hypot(item.x - pose.x, item.y - pose.y)
        keep = item.radius + ROBOT_RADIUS + CLEARANCE
        # Inside the clearance every heading towards the object is blocked, and a little more.
        half = math.asin(keep / distance) if distance > keep else math.pi / 2 + 4.0 * (keep - distance)
        near = min(LOOK_AHEAD, remaining) - (distance - keep)
        weight = float(np.clip(near / FADE, 0.0, 1.0))
        return wrap_angle(math.atan2(item.y - pose.y, item.x - pose.x) - goal), half * weight

    def _wall_sectors(self, pose: Pose2D, goal: float, remaining: float) -> list[tuple[float, float]]:
        """The same for the four walls."""
        half_x, half_y = self._scene.size[0] / 2, self._scene.size[1] / 2
        reach = min(WALL_LOOK_AHEAD, remaining)
        sectors = []
        for normal, space in (
            (0.0, half_x - pose.x),
            (math.pi / 2, half_y - pose.y),
            (math.pi, half_x + pose.x),
            (-math.pi / 2, half_y + pose.y),
        ):
            free = max(space - ROBOT_RADIUS - CLEARANCE, 0.0)
            half = math.acos(free / reach) if free < reach else 0.0
            sectors.append((wrap_angle(normal - goal), half))
        return sectors


def _free_angle(blocked: list[tuple[float, float]], side: float) -> float:
    """The angle nearest to zero on one side (+1 left, -1 right) outside the sectors (middle, half width)."""
    angle = 0.0
    for _ in blocked:
        for middle, half in blocked:
            if abs(wrap_angle(angle - middle)) < half - 1e-9:
                angle += side * (half - side * wrap_angle(angle - middle))
        if abs(angle) > math.pi:
            break
    return angle
