"""Which three instructions a room is good for, and what a given sentence means in it."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ..sim.base import ROBOT_RADIUS, Pose2D
from ..sim.scene import Scene, SceneObject
from ..sim.task import (
    VISIBLE_WIDTH,
    Task,
    TaskKind,
    at_object,
    bearing,
    edge_gap,
    sentences,
    visible_width,
)
from ..sim.world import CAMERA_HFOV
from .errors import DemoError

APPROACH_GAP = 0.35  # m, edge to edge, about where the robot stops at an object
IN_VIEW = 0.8 * CAMERA_HFOV / 2.0  # rad from the heading: well inside the picture


def choose_tasks(scene: Scene) -> tuple[Task, ...]:
    """Go to an object, then to one that looks like it, then turn left.

    Neither object is hidden behind another when its turn comes. Pairs whose first object, or even
    both, are in the picture at the start are preferred.

    Raises:
        DemoError: the room has no such pair.
    """
    pairs = [pair for pair in _look_alikes(scene) if _feasible(scene, *pair)]
    if not pairs:
        raise DemoError("in this room no two look-alikes make sense one after the other: take another seed")
    first, second = min(pairs, key=lambda pair: _awkwardness(scene, *pair))
    return (
        Task(TaskKind.GO_TO, f"go to the {first.name}", first.name),
        Task(TaskKind.GO_TO, f"drive to the {second.name}", second.name),
        Task(TaskKind.TURN_LEFT, "turn left"),
    )


def read_task(instruction: str, scene: Scene) -> Task:
    """The task that a sentence stands for in this room.

    Raises:
        DemoError: it names no object or several of the room, and is not a way to say turn or stop either.
    """
    words = " ".join(instruction.lower().replace(".", " ").replace("!", " ").split())
    for kind in TaskKind:
        if kind is not TaskKind.GO_TO and words in (*sentences(kind), *sentences(kind, unseen=True)):
            return Task(kind, instruction)
    names = [item.name for item in scene.objects if f" {item.name} " in f" {words} "]
    if len(names) == 1:
        return Task(TaskKind.GO_TO, instruction, names[0])
    raise DemoError(
        f"instruction {instruction!r}: expected a sentence with the name of one object of this room "
        f"({', '.join(item.name for item in scene.objects)}), or one such as "
        f"{', '.join(repr(sentences(kind)[0]) for kind in TaskKind if kind is not TaskKind.GO_TO)}"
    )


def _look_alikes(scene: Scene) -> Iterator[tuple[SceneObject, SceneObject]]:
    for first in scene.objects:
        for second in scene.objects:
            if first is not second and (first.color == second.color or first.shape == second.shape):
                yield first, second


def _feasible(scene: Scene, first: SceneObject, second: SceneObject) -> bool:
    start, stop = scene.start_pose, _pose_at(scene.start_pose, first)
    return (
        not any(at_object(start, item) for item in scene.objects)
        and not at_object(stop, second)
        and visible_width(scene, start, first) >= VISIBLE_WIDTH
        and visible_width(scene, stop, second) >= VISIBLE_WIDTH
    )


def _awkwardness(scene: Scene, first: SceneObject, second: SceneObject) -> tuple[bool, bool, bool, float]:
    """Least for the pair that shows best what the robot can do."""
    start, stop = scene.start_pose, _pose_at(scene.start_pose, first)
    return (
        abs(bearing(start, first)) > IN_VIEW,
        abs(bearing(start, second)) > IN_VIEW,  # both in the first picture: the words decide
        abs(bearing(stop, second)) > math.pi / 2.0,
        edge_gap(start, first) + edge_gap(stop, second),
    )


def _pose_at(start: Pose2D, item: SceneObject) -> Pose2D:
    """About where the robot stands after driving straight from `start` to the object."""
    heading = math.atan2(item.y - start.y, item.x - start.x)
    distance = item.radius + ROBOT_RADIUS + APPROACH_GAP
    return Pose2D(item.x - distance * math.cos(heading), item.y - distance * math.sin(heading), heading)
