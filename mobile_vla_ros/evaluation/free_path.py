"""The shortest way that there is: what a driven path is measured against."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..sim.base import ROBOT_RADIUS, Pose2D
from ..sim.expert import GAP
from ..sim.scene import Scene, SceneObject
from ..sim.task import edge_gap

_CORNERS = 36  # of the polygon around an obstacle: 0.1 % longer than its circle
_GOALS = 72  # places to stand at the target

Points = NDArray[np.float64]


def free_path(scene: Scene, start: Pose2D, target: SceneObject) -> float:
    """Length (m) of the shortest way of the robot's centre to the target, free of contacts.

    It ends where the expert comes to stand, 0.32 m from edge to edge. Found in a visibility graph: lines between the
    corners of polygons around the circles that the centre may not enter.

    Raises:
        ValueError: no way leads there.
    """
    if edge_gap(start, target) <= GAP:
        return 0.0
    obstacles = [item for item in scene.objects if item is not target]
    centres = np.array([[item.x, item.y] for item in obstacles]).reshape(-1, 2)
    radii = np.array([item.radius + ROBOT_RADIUS for item in obstacles])
    corners = [
        _ring(centre, radius / math.cos(math.pi / _CORNERS), _CORNERS)
        for centre, radius in zip(centres, radii, strict=True)
    ]
    goals = _ring(np.array([target.x, target.y]), target.radius + ROBOT_RADIUS + GAP, _GOALS)
    inside = np.array(scene.size) / 2 - ROBOT_RADIUS
    between = np.concatenate([*corners, goals])
    is_goal = np.arange(len(between)) >= len(between) - _GOALS
    kept = (np.abs(between) <= inside).all(axis=1)
    points = np.concatenate([[[start.x, start.y]], between[kept]])
    lengths = _lengths(points, centres, radii)
    distance = np.full(len(points), np.inf)
    distance[0] = 0.0
    while True:
        shorter = (distance[:, None] + lengths).min(axis=0)
        if np.array_equal(shorter, distance):
            break
        distance = shorter
    best = float(distance[1:][is_goal[kept]].min(initial=math.inf))
    if best == math.inf:
        raise ValueError(f"no way leads from {start} to the {target.name}")
    return best


def _ring(centre: Points, radius: float, count: int) -> Points:
    angles = np.linspace(0.0, math.tau, count, endpoint=False)
    return np.asarray(centre + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1))


def _lengths(points: Points, centres: Points, radii: Points) -> Points:
    """(n, n): lengths of the straight lines between points; infinite where one enters a circle."""
    lines = points[None] - points[:, None]
    lengths = np.linalg.norm(lines, axis=-1)
    for centre, radius in zip(centres, radii, strict=True):
        towards = centre - points[:, None]
        along = (towards * lines).sum(axis=-1) / np.maximum(lengths**2, 1e-12)
        nearest = np.clip(along, 0.0, 1.0)[..., None] * lines - towards
        # A robot may begin nearer than that: a line that only leads away from the circle is free.
        entering = (np.linalg.norm(nearest, axis=-1) < radius - 1e-6) & (along > 0.0)
        lengths = np.where(entering, np.inf, lengths)
    np.fill_diagonal(lengths, 0.0)
    return np.asarray(lengths)
