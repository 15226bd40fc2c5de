"""Where the console gets pictures from: files, and noise where there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..image_file import read_image
from ..image_header import ImageError
from .errors import ConsoleError

NOISE_SHAPE: Final = (480, 640, 3)
NOISE: Final = "noise of 640 x 480 pixels, seed 0"


def read_picture(path: Path) -> NDArray[np.uint8]:
    """A picture of any kind that Pillow knows, as uint8 (height, width, 3) RGB; alpha is dropped.

    Raises:
        ConsoleError: no such file, or no picture.
    """
    try:
        return read_image(path)
    except FileNotFoundError as error:
        raise ConsoleError(f"there is no file {path}") from error
    except (OSError, ImageError) as error:
        raise ConsoleError(f"{path}: {error}") from error


def noise() -> NDArray[np.uint8]:
    """A picture to measure with, uint8 (480, 640, 3); the same each time."""
    return np.random.default_rng(0).integers(0, 256, NOISE_SHAPE, dtype=np.uint8)
