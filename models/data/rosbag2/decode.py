"""Image messages to RGB, the same encodings and with the same result as on the robot."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

# Channels per pixel, and OpenCV's conversion to RGB; None: it is RGB. One byte each: their order plays no part.
_ENCODINGS: Final[Mapping[str, tuple[int, int | None]]] = MappingProxyType(
    {
        "rgb8": (3, None),
        "bgr8": (3, cv2.COLOR_BGR2RGB),
        "rgba8": (4, cv2.COLOR_RGBA2RGB),
        "bgra8": (4, cv2.COLOR_BGRA2RGB),
        "mono8": (1, cv2.COLOR_GRAY2RGB),
    }
)


def decode(message: Any) -> NDArray[np.uint8]:
    """A sensor_msgs/CompressedImage (JPEG, PNG) or Image (rgb8, bgr8, rgba8, bgra8, mono8) as RGB uint8 (h, w, 3).

    Raises:
        ValueError: another encoding, a size that the data contradict, or data that are corrupt.
    """
    return _decompressed(message) if hasattr(message, "format") else _unpacked(message)


def _decompressed(message: Any) -> NDArray[np.uint8]:
    data = np.asarray(message.data, dtype=np.uint8)
    try:
        bgr = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    except cv2.error as error:
        raise ValueError(f"compressed image of format {message.format!r} is corrupt: {error}") from error
    if bgr is None:
        raise ValueError(f"compressed image of format {message.format!r}, {len(data)} bytes, cannot be decoded")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def _unpacked(message: Any) -> NDArray[np.uint8]:
    if message.encoding not in _ENCODINGS:
        raise ValueError(f"image encoding {message.encoding!r} is not among {', '.join(_ENCODINGS)}")
    channels, conversion = _ENCODINGS[message.encoding]
    height, width, step = int(message.height), int(message.width), int(message.step)
    row = width * channels
    if height == 0 or width == 0 or step < row:
        raise ValueError(f"image of {width} x {height} {message.encoding} pixels has step {step}, expected >= {row}")
    needed = step * (height - 1) + row  # the last row may lack its padding
    data = np.asarray(message.data, dtype=np.uint8)
    if len(data) < needed:
        raise ValueError(f"image has {len(data)} bytes: {height} rows of step {step} need {needed}")
    pixels = np.lib.stride_tricks.as_strided(data, (height, width, channels), (step, channels, 1), writeable=False)
    rows = np.ascontiguousarray(pixels)
    return rows if conversion is None else np.asarray(cv2.cvtColor(rows, conversion), dtype=np.uint8)
