"""Procedural textures of floors and walls."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .scene import Surface

SIDE = 64  # pixels


def paint(surface: Surface, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Paint one tile of a surface: uint8 (64, 64, 3).

    Raises:
        ValueError: a texture that is not known.
    """
    row, column = np.mgrid[0:SIDE, 0:SIDE]
    half = SIDE // 2
    if surface.texture == "plain":
        share = rng.normal(0.5, 0.08, (SIDE, SIDE))
    elif surface.texture == "checker":
        share = ((row // half + column // half) % 2).astype(float)
    elif surface.texture == "stripes":
        share = (column // half % 2).astype(float)
    elif surface.texture == "speckle":
        share = rng.random((SIDE // 4, SIDE // 4)).repeat(4, axis=0).repeat(4, axis=1)
    elif surface.texture == "planks":
        board = row // (SIDE // 4)
        share = rng.random(4)[board] * 0.7 + 0.3 * rng.random(SIDE)[row]
        share[row % (SIDE // 4) == 0] = 1.0
    else:
        raise ValueError(f"texture {surface.texture!r} is not known")
    first, second = (np.array(color) for color in surface.rgb)
    picture = first + np.clip(share, 0.0, 1.0)[..., None] * (second - first)
    picture = picture + rng.normal(0.0, 0.01, picture.shape)
    return np.asarray(np.clip(picture * 255.0, 0, 255), dtype=np.uint8)
