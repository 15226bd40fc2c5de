"""Where points of the floor are seen in the camera's picture."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NEAREST = 0.05  # m of depth: what is nearer, or behind, is not seen


@dataclass(frozen=True)
class Camera:
    """A pinhole camera on the robot, without distortion, that looks ahead and is not rolled.

    Attributes:
        height: m above the floor.
        pitch: rad, positive looks down.
        fov: rad, horizontal; of a camera_info that is 2 * atan(width / (2 * fx)).
        forward: m that it is ahead of base_link.

    Raises:
        ValueError: a value out of range; the message names it.
    """

    height: float
    pitch: float
    fov: float
    forward: float = 0.0

    def __post_init__(self) -> None:
        ranges = {
            "height": (self.height, 0.0, 100.0),
            "pitch": (self.pitch, -math.pi / 2, math.pi / 2),
            "fov": (self.fov, 0.0, math.pi),
            "forward": (self.forward, -100.0, 100.0),
        }
        for name, (value, low, high) in ranges.items():
            if not low < value < high:  # NaN is in no range
                raise ValueError(f"camera {name} is {value}: expected above {low:.4g} and below {high:.4g}")

    def project(self, floor: NDArray[np.float64], width: int, height: int) -> NDArray[np.float64]:
        """Columns and rows in a picture of `width` x `height` pixels; they may lie outside of it.

        Args:
            floor: float64 (n, 2), m; points of the floor in base_link: x forward, y left.
            width: of the picture.
            height: of the picture.

        Returns:
            float64 (n, 2); NaN for points that are not in front of the camera.
        """
        ahead, left = floor[:, 0] - self.forward, floor[:, 1]
        # The optical frame of REP-103: x right, y down, z ahead along the line of sight.
        depth = ahead * math.cos(self.pitch) + self.height * math.sin(self.pitch)
        down = self.height * math.cos(self.pitch) - ahead * math.sin(self.pitch)
        focal = width / 2.0 / math.tan(self.fov / 2.0)  # pixels
        with np.errstate(divide="ignore", invalid="ignore"):
            pixels = focal * np.stack([-left, down], axis=1) / depth[:, None] + (width / 2.0, height / 2.0)
        pixels[depth < NEAREST] = np.nan
        return pixels
