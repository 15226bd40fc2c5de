"""Where the console gets pictures from: files, and noise where there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from .errors import ConsoleError

NOISE_SHAPE: Final = (480, 640, 3)
NOISE: Final = "noise of 640 x 480 pixels, seed 0"


def read_picture(path: Path) -> NDArray[np.uint8]:
    """A picture of any kind that Pillow knows, as uint8 (height, width, 3) RGB; alpha is dropped.

    Raises:
        ConsoleError: no such file, or no picture.
    """
    try:
        with Image.open(path) as image:
            return np.array(image.convert("RGB"), dtype=np.uint8)
    except FileNotFoundError as error:
        raise ConsoleError(f"there is no file {path}") from error
    except UnidentifiedImageError as error:
        raise ConsoleError(f"{path} is no picture of a kind that is known, such as PNG or JPEG") from error
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:  # Pillow's for damaged files
        raise ConsoleError(f"{path} is not readable as a picture ({error})") from error


def noise() -> NDArray[np.uint8]:
    """A picture to measure with, uint8 (480, 640, 3); the same each time."""
    return np.random.default_rng(0).integers(0, 256, NOISE_SHAPE, dtype=np.uint8)
