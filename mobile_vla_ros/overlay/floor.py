"""The planned path on the floor of a picture."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from .camera import Camera
from .path import SMOOTHNESS, integrate

Picture = NDArray[np.uint8]
Color = tuple[int, int, int]

SHADE: Final[Color] = (12, 14, 18)  # beneath lines, so that they are seen on floors of any colour
BEYOND: Final = np.full(10, 0.2)  # s that the last velocity is held beyond the plan
SHORTEST = 0.02  # m of a path that is drawn
FRACTION = 4  # bits of a pixel in OpenCV's coordinates
FARTHEST = 2.0**20  # pixels that a point may lie outside of a picture, for OpenCV counts in 32 bits


def draw_path(
    picture: Picture, camera: Camera, velocity: NDArray[np.floating], dt: float, width: float, color: Color
) -> None:
    """Draw into `picture` the strip of floor that velocities lead over; nothing if they hardly leave the spot.

    Beyond the plan, which often ends before what the camera sees of the floor begins, it goes on faintly: there the
    last velocity would lead.

    Args:
        picture: uint8 (h, w, 3), contiguous.
        camera: that took it.
        velocity: float (n, 2), m/s and rad/s.
        dt: s that each lasts.
        width: m, of the robot.
        color: of the path.
    """
    if len(velocity) == 0:
        return
    steps = np.concatenate([velocity, np.repeat(velocity[-1:], len(BEYOND), axis=0)])
    poses = integrate(steps, np.concatenate([np.full(len(velocity), dt), BEYOND]))
    planned = len(velocity) * SMOOTHNESS + 1
    if np.abs(np.diff(poses[:planned, :2], axis=0)).sum() < SHORTEST:
        return
    height, columns = picture.shape[:2]
    across = width / 2.0 * np.stack([-np.sin(poses[:, 2]), np.cos(poses[:, 2])], axis=1)
    left, right = (camera.project(poses[:, :2] + side, columns, height) for side in (across, -across))
    edges = np.concatenate([left, right])
    if np.isnan(edges).all():
        return
    thin = max(1, round(columns / 400))
    top = int(np.clip(np.nanmin(edges[:, 1]) - 4 * thin, 0, height - 1))  # what lies above needs no tinting
    picture, left, right = picture[top:], left - (0, top), right - (0, top)
    _fill(picture, left, right, color, 0.16)
    left, right = left[:planned], right[:planned]
    _fill(picture, left, right, color, 0.30)
    for tint, thickness in ((SHADE, 2 * thin + 1), (color, thin)):
        for edge in (left, right, np.stack([left[-1], right[-1]])):
            _line(picture, edge, tint, thickness)
    for step in range(SMOOTHNESS, planned - 1, SMOOTHNESS):
        _line(picture, np.stack([left[step], right[step]]), color, 1)


def _fill(picture: Picture, left: NDArray[np.float64], right: NDArray[np.float64], color: Color, share: float) -> None:
    """Tint what lies between two edges, float64 (n, 2) pixels each."""
    layer = picture.copy()
    for run in _seen(np.concatenate([left, right], axis=1)):
        outline = np.concatenate([run[:, :2], run[::-1, 2:]])
        cv2.fillPoly(layer, [_fixed(outline)], color, cv2.LINE_AA, FRACTION)
    cv2.addWeighted(layer, share, picture, 1.0 - share, 0.0, dst=picture)


def _line(picture: Picture, points: NDArray[np.float64], color: Color, thickness: int) -> None:
    for run in _seen(points):
        cv2.polylines(picture, [_fixed(run)], False, color, thickness, cv2.LINE_AA, FRACTION)


def _seen(points: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """The runs of two points and more that are in front of the camera."""
    hidden = np.isnan(points).any(axis=1)
    runs = np.split(points, np.flatnonzero(hidden))
    return [part for run in runs if len(part := run[~np.isnan(run).any(axis=1)]) > 1]


def _fixed(points: NDArray[np.float64]) -> NDArray[np.int32]:
    return np.rint(np.clip(points, -FARTHEST, FARTHEST) * 2.0**FRACTION).astype(np.int32).reshape(-1, 1, 2)
