"""Camera messages to RGB, by the same rules on the robot and in recordings.

A message is anything with the fields of sensor_msgs/Image or CompressedImage: rclpy's, or those of the rosbags library.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class _Encoding:
    """How the pixels of an encoding lie in the data, a byte a value.

    Attributes:
        values: that a pixel has in its row.
        conversion: OpenCV's, to RGB; None: it is RGB.
        columns, rows: of pixels that share a colour; width and height must be multiples.
        planar: another plane of half as many rows follows, with the same step: a pair of colour values for each
            2 x 2 pixels.
        least: width and height of the smallest picture that OpenCV converts.
    """

    values: int
    conversion: int | None
    columns: int = 1
    rows: int = 1
    planar: bool = False
    least: int = 1


# The names are those of sensor_msgs/image_encodings. uyvy and yuyv have older ones, which are the only ones on Humble;
# nv12 stands there from Kilted on, but drivers have sent it before. OpenCV names a mosaic by the second row's second
# and third pixel, ROS by the first two pixels of the first two rows: bayer_rggb8 is OpenCV's BayerBG.
_ENCODINGS: Final[Mapping[str, _Encoding]] = MappingProxyType(
    {
        "rgb8": _Encoding(3, None),
        "bgr8": _Encoding(3, cv2.COLOR_BGR2RGB),
        "rgba8": _Encoding(4, cv2.COLOR_RGBA2RGB),
        "bgra8": _Encoding(4, cv2.COLOR_BGRA2RGB),
        "mono8": _Encoding(1, cv2.COLOR_GRAY2RGB),
        "uyvy": _Encoding(2, cv2.COLOR_YUV2RGB_UYVY, columns=2),
        "yuv422": _Encoding(2, cv2.COLOR_YUV2RGB_UYVY, columns=2),
        "yuyv": _Encoding(2, cv2.COLOR_YUV2RGB_YUY2, columns=2),
        "yuv422_yuy2": _Encoding(2, cv2.COLOR_YUV2RGB_YUY2, columns=2),
        "nv12": _Encoding(1, cv2.COLOR_YUV2RGB_NV12, columns=2, rows=2, planar=True),
        "nv21": _Encoding(1, cv2.COLOR_YUV2RGB_NV21, columns=2, rows=2, planar=True),
        "bayer_rggb8": _Encoding(1, cv2.COLOR_BayerBG2RGB, least=3),
        "bayer_bggr8": _Encoding(1, cv2.COLOR_BayerRG2RGB, least=3),
        "bayer_gbrg8": _Encoding(1, cv2.COLOR_BayerGR2RGB, least=3),
        "bayer_grbg8": _Encoding(1, cv2.COLOR_BayerGB2RGB, least=3),
    }
)
_WHY_NOT: Final[Mapping[str, str]] = MappingProxyType(
    {
        "mono16": "which of its values is white differs between cameras, and the message does not say",
        "16UC1": "depth in mm, not a picture",
        "32FC1": "depth in m, not a picture",
        "8UC1": "says how many values a pixel has, not what they mean",
        "8UC3": "says how many values a pixel has, not what they mean",
        "nv24": "OpenCV has no conversion for it",
    }
)
_SIGNATURES: Final = (b"\xff\xd8\xff", b"\x89PNG")


class ImageError(ValueError):
    """An image message cannot be used; the message names what is wrong and what was expected."""


def check(message: Any) -> None:
    """Say quickly, without decoding, whether a message can hold a picture.

    Raises:
        ImageError: empty, an encoding or format that is not supported, or a size that its data contradict.
    """
    if _is_compressed(message):
        _check_compressed(message)
    else:
        _layout(message)


def digest(message: Any) -> int:
    """A fingerprint of a frame's data, padding and all: a camera that sends the same again and again is frozen.

    Two frames that differ in one byte never have the same, others one time in 2**32.
    """
    return zlib.crc32(message.data)


def to_rgb(message: Any) -> NDArray[np.uint8]:
    """The picture as uint8 (height, width, 3) RGB, owning its data.

    `Image`: the encodings of the table above, with any row step; alpha is dropped, YUV is taken as BT.601 of limited
    range, a mosaic is interpolated. All of these have one byte per value, so `is_bigendian` changes nothing.
    `CompressedImage`: JPEG and PNG.

    Raises:
        ImageError: as for `check`, and compressed data that are corrupt.
    """
    if _is_compressed(message):
        return _decompressed(message)
    encoding, rows = _layout(message)
    row = message.width * encoding.values
    data = np.frombuffer(message.data, np.uint8, count=message.step * (rows - 1) + row)
    pixels = np.lib.stride_tricks.as_strided(
        data, (rows, message.width, encoding.values), (message.step, encoding.values, 1), writeable=False
    )
    if encoding.conversion is None:
        return pixels.copy()
    # OpenCV: choosing channels with an index takes numpy 50 times as long.
    return np.asarray(cv2.cvtColor(pixels, encoding.conversion), dtype=np.uint8)


def _is_compressed(message: Any) -> bool:
    return hasattr(message, "format")


def _layout(message: Any) -> tuple[_Encoding, int]:
    """The encoding, and how many rows the data have."""
    width, height, name = message.width, message.height, message.encoding
    if height == 0 or width == 0 or len(message.data) == 0:
        raise ImageError(f"image is empty: {width} x {height} pixels, {len(message.data)} bytes")
    if name not in _ENCODINGS:
        why = f" ({_WHY_NOT[name]})" if name in _WHY_NOT else ""
        raise ImageError(f"image encoding {name!r} is not supported{why}; expected one of {', '.join(_ENCODINGS)}")
    encoding = _ENCODINGS[name]
    if width % encoding.columns or height % encoding.rows:
        raise ImageError(
            f"image of {width} x {height} {name} pixels: "
            f"expected multiples of {encoding.columns} x {encoding.rows}, which share a colour"
        )
    if min(width, height) < encoding.least:
        raise ImageError(
            f"image of {width} x {height} {name} pixels: expected at least {encoding.least} x {encoding.least}"
        )
    row = width * encoding.values
    if message.step < row:
        raise ImageError(f"image step is {message.step} bytes: {width} {name} pixels need {row}")
    rows = height + height // 2 if encoding.planar else height
    needed = message.step * (rows - 1) + row  # the last row may lack its padding
    if len(message.data) < needed:
        raise ImageError(f"image has {len(message.data)} bytes: {rows} rows of step {message.step} need {needed}")
    return encoding, rows


def _check_compressed(message: Any) -> None:
    if len(message.data) == 0:
        raise ImageError(f"image is empty: format {message.format!r}, 0 bytes")
    # The format field is free text and differs between drivers; the data themselves do not.
    if not bytes(message.data[:4]).startswith(_SIGNATURES):
        raise ImageError(f"compressed image of format {message.format!r} is neither JPEG nor PNG")


def _decompressed(message: Any) -> NDArray[np.uint8]:
    _check_compressed(message)
    try:
        bgr = cv2.imdecode(np.frombuffer(message.data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise ImageError(f"compressed image of format {message.format!r} is corrupt: {error}") from error
    if bgr is None:
        raise ImageError(f"compressed image of format {message.format!r}, {len(message.data)} bytes, is corrupt")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)
