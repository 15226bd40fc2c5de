"""What a run may meet that its training did not: late plans, a poor camera, other light, other words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from ..sim.scene import Lighting, Scene

Picture = NDArray[np.uint8]

NOMINAL = "nominal"
NOISE_SIGMA = 20.0  # of 255
JPEG_QUALITY = 8
DARK, BRIGHT = 0.3, 2.0  # factors on every light
CAST = (1.15, 1.0, 0.8)  # gains of red, green and blue: a white balance set for other lamps


@dataclass(frozen=True)
class Condition:
    """One departure from the nominal run, or none.

    Attributes:
        name: for people and the command line.
        latency: s from a frame to its plan; None: the nominal one.
        light: the room as it is lit.
        camera: what becomes of each picture; draws from the run's own generator.
        unseen: say the task in words that no recording holds.
    """

    name: str
    latency: float | None = None
    light: Callable[[Scene], Scene] | None = None
    camera: Callable[[np.random.Generator, Picture], Picture] | None = None
    unseen: bool = False


def noisy(rng: np.random.Generator, picture: Picture) -> Picture:
    """Gaussian noise on every value."""
    grain = rng.normal(0.0, NOISE_SIGMA, picture.shape)
    return np.clip(np.rint(picture + grain), 0, 255).astype(np.uint8)


def compressed(rng: np.random.Generator, picture: Picture) -> Picture:
    """Through a JPEG of poor quality."""
    done, data = cv2.imencode(".jpg", picture[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not done:
        raise ValueError(f"picture {picture.shape} {picture.dtype} cannot be encoded as jpeg")
    decoded = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), dtype=np.uint8)
    return np.ascontiguousarray(decoded[:, :, ::-1])


def colour_cast(rng: np.random.Generator, picture: Picture) -> Picture:
    """Warm, as under lamps that the white balance was not set for."""
    return np.asarray(np.clip(np.rint(picture * np.array(CAST)), 0, 255), dtype=np.uint8)


def dark(scene: Scene) -> Scene:
    """The same room with little light."""
    return _lit(scene, DARK)


def bright(scene: Scene) -> Scene:
    """The same room with twice the light."""
    return _lit(scene, BRIGHT)


def _lit(scene: Scene, factor: float) -> Scene:
    red, green, blue = scene.lighting.diffuse
    lighting = Lighting(
        scene.lighting.ambient * factor, (red * factor, green * factor, blue * factor), scene.lighting.position
    )
    return replace(scene, lighting=lighting)


CONDITIONS = {
    condition.name: condition
    for condition in (
        Condition(NOMINAL),
        Condition("latency 0 ms", latency=0.0),
        Condition("latency 100 ms", latency=0.1),
        Condition("latency 300 ms", latency=0.3),
        Condition("latency 600 ms", latency=0.6),
        Condition("camera noise", camera=noisy),
        Condition("poor jpeg", camera=compressed),
        Condition("dark", light=dark),
        Condition("bright", light=bright),
        Condition("colour cast", camera=colour_cast),
        Condition("unseen phrasings", unseen=True),
    )
}
