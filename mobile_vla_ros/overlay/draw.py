"""The overlay: a picture, the path on its floor, and a strip of words."""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from .camera import Camera
from .drive import Drive
from .floor import draw_path
from .strip import BACKGROUND, Strip

NARROWEST, SMALLEST = 32, 320  # pixels of width that make a picture, and that words need
# RGB by `DriveState`; a state that is not here is white.
STATES: Final = MappingProxyType(
    {
        "waiting": (250, 200, 60),
        "driving": (60, 230, 150),
        "done": (90, 170, 255),
        "stopped": (255, 90, 80),
        "disarmed": (170, 178, 192),
    }
)
OTHER_STATE = (240, 242, 246)


def draw(rgb: NDArray[np.uint8], camera: Camera, drive: Drive, robot_width: float) -> NDArray[np.uint8]:
    """A picture with the plan on its floor, as wide as the robot, and a strip of words; in the colour of the state.

    The strip lies over the top of the picture. A picture narrower than 320 pixels is enlarged by a whole factor and
    gets the strip above it, for it would cover too much.

    Args:
        rgb: uint8 (h, w, 3), taken by `camera`; it stays as it is.
        camera: where it is and what it sees.
        drive: what is drawn.
        robot_width: m.

    Returns:
        uint8 (h, w, 3), contiguous; of another size if `rgb` is small, but always the same for the same size.

    Raises:
        ValueError: no picture, or no width.
    """
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.size == 0:
        raise ValueError(f"picture is {rgb.dtype} {rgb.shape}: expected uint8 (height, width, 3)")
    if rgb.shape[1] < NARROWEST:
        raise ValueError(f"picture is {rgb.shape[1]} pixels wide: expected at least {NARROWEST}")
    if not (math.isfinite(robot_width) and robot_width > 0.0):
        raise ValueError(f"robot_width is {robot_width} m: expected finite, above 0")
    color = STATES.get(drive.state, OTHER_STATE)
    factor = math.ceil(SMALLEST / rgb.shape[1])
    width, height = factor * rgb.shape[1], factor * rgb.shape[0]
    strip = Strip(width)
    above = strip.height if factor > 1 else 0
    result = np.empty((above + height, width, 3), np.uint8)
    result[:above] = BACKGROUND
    view = result[above:]
    cv2.resize(rgb, (width, height), dst=view, interpolation=cv2.INTER_CUBIC)
    draw_path(view, camera, drive.plan, drive.dt, robot_width, color)
    strip.draw(result, drive, color)
    return result
