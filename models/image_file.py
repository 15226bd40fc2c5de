"""Image files that a user names: photographs and screenshots of any kind that Pillow knows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from .image_header import ImageError, check_size
from .images import MAX_SIZE


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read an image file as uint8 (height, width, 3) RGB; alpha is dropped.

    Raises:
        FileNotFoundError: No such file.
        ImageError: No image, damaged, larger than 4096 x 4096 pixels, or more than 8 bits a value.
    """
    try:
        with Image.open(path) as image:
            check_size(*image.size, MAX_SIZE, MAX_SIZE)
            if image.mode.startswith(("I", "F")):
                raise ImageError(f"it has more than 8 bits a value (mode {image.mode}): depth, not a picture")
            return np.array(image.convert("RGB"), dtype=np.uint8)
    except (FileNotFoundError, ImageError):
        raise
    except UnidentifiedImageError as error:
        raise ImageError("it is no picture of a kind that is known, such as PNG or JPEG") from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:  # Pillow's for damaged files
        raise ImageError(f"it is not readable as a picture ({error})") from error
