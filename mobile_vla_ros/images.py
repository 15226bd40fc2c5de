"""Image messages to and from numpy: uint8 (height, width, 3) RGB."""

from __future__ import annotations

import array
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image

# Channels per pixel, and OpenCV's conversion to RGB; None: it is RGB.
_ENCODINGS: Final[Mapping[str, tuple[int, int | None]]] = MappingProxyType(
    {
        "rgb8": (3, None),
        "bgr8": (3, cv2.COLOR_BGR2RGB),
        "rgba8": (4, cv2.COLOR_RGBA2RGB),
        "bgra8": (4, cv2.COLOR_BGRA2RGB),
        "mono8": (1, cv2.COLOR_GRAY2RGB),
    }
)
_SIGNATURES: Final = (b"\xff\xd8\xff", b"\x89PNG")


class ImageError(ValueError):
    """An image message cannot be used; the message names what is wrong and what was expected."""


def check(message: Image | CompressedImage) -> None:
    """Say quickly, without decoding, whether a message can hold a picture.

    Raises:
        ImageError: empty, an encoding or format that is not supported, or a size that its data contradict.
    """
    if isinstance(message, Image):
        _layout(message)
    else:
        _check_compressed(message)


def to_rgb(message: Image | CompressedImage) -> NDArray[np.uint8]:
    """The picture as uint8 (height, width, 3) RGB, owning its data.

    `Image`: rgb8, bgr8, rgba8, bgra8 and mono8, with any row step; alpha is dropped. All of these have one
    byte per channel, so `is_bigendian` changes nothing. `CompressedImage`: JPEG and PNG.

    Raises:
        ImageError: as for `check`, and compressed data that are corrupt.
    """
    if isinstance(message, CompressedImage):
        return _decompressed(message)
    channels, conversion = _layout(message)
    rows = np.frombuffer(message.data, np.uint8, count=message.step * (message.height - 1) + message.width * channels)
    pixels = np.lib.stride_tricks.as_strided(
        rows, (message.height, message.width, channels), (message.step, channels, 1), writeable=False
    )
    # OpenCV: choosing channels with an index takes numpy 50 times as long.
    return pixels.copy() if conversion is None else np.asarray(cv2.cvtColor(pixels, conversion), dtype=np.uint8)


def to_image(rgb: NDArray[np.uint8], stamp: Time, frame_id: str) -> Image:
    """An rgb8 message of a uint8 (height, width, 3) RGB picture.

    Raises:
        ImageError: another shape or dtype.
    """
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.size == 0:
        raise ImageError(f"picture is {rgb.dtype} {rgb.shape}: expected uint8 (height, width, 3)")
    message = Image()
    message.header.stamp = stamp
    message.header.frame_id = frame_id
    message.height, message.width = rgb.shape[:2]
    message.encoding = "rgb8"
    message.step = 3 * message.width
    message.data = array.array("B", rgb.tobytes())  # rclpy takes an array as it is, anything else value by value
    return message


def _layout(message: Image) -> tuple[int, int | None]:
    """Channels per pixel, and OpenCV's conversion to RGB; None: it is RGB."""
    if message.height == 0 or message.width == 0 or len(message.data) == 0:
        raise ImageError(f"image is empty: {message.width} x {message.height} pixels, {len(message.data)} bytes")
    if message.encoding not in _ENCODINGS:
        known = ", ".join(_ENCODINGS)
        raise ImageError(f"image encoding {message.encoding!r} is not supported; expected one of {known}")
    channels, conversion = _ENCODINGS[message.encoding]
    row = message.width * channels
    if message.step < row:
        raise ImageError(f"image step is {message.step} bytes: {message.width} {message.encoding} pixels need {row}")
    needed = message.step * (message.height - 1) + row
    if len(message.data) < needed:
        raise ImageError(
            f"image has {len(message.data)} bytes: {message.height} rows of step {message.step} need {needed}"
        )
    return channels, conversion


def _check_compressed(message: CompressedImage) -> None:
    if len(message.data) == 0:
        raise ImageError(f"image is empty: format {message.format!r}, 0 bytes")
    # The format field is free text and differs between drivers; the data themselves do not.
    if not bytes(message.data[:4]).startswith(_SIGNATURES):
        raise ImageError(f"compressed image of format {message.format!r} is neither JPEG nor PNG")


def _decompressed(message: CompressedImage) -> NDArray[np.uint8]:
    _check_compressed(message)
    try:
        bgr = cv2.imdecode(np.frombuffer(message.data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise ImageError(f"compressed image of format {message.format!r} is corrupt: {error}") from error
    if bgr is None:
        raise ImageError(f"compressed image of format {message.format!r} is corrupt")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)
