"""Camera messages to RGB, by the same rules on the robot and in recordings.

A message is anything with the fields of sensor_msgs/Image or CompressedImage: rclpy's, or those of the rosbags library.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from .image_header import ImageError, check_checksums, check_size, is_png, read_header


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
ENCODINGS: Final = tuple(_ENCODINGS)
_TELL: Final = "says how many values a pixel has, not what they mean: set `encoding`, such as bgr8"
_WHY_NOT: Final[Mapping[str, str]] = MappingProxyType(
    {
        "mono16": "which of its values is white differs between cameras, and the message does not say",
        "16UC1": "depth in mm, not a picture",
        "32FC1": "depth in m, not a picture",
        "8UC1": _TELL,
        "8UC3": _TELL,
        "8UC4": _TELL,
        "nv24": "OpenCV has no conversion for it",
    }
)
_WIDE: Final = re.compile(r"16|32|64")  # in the name of an encoding of more than 8 bits a value
_NUMBERS: Final = re.compile(r"\d+[USF]C(\d*)")  # OpenCV's names, with the number of values of a pixel
_COLOURS: Final = ("bgr8", "bgra8")  # what image_transport says that it has compressed: the file is right then
_EXCHANGED: Final = MappingProxyType({"rgb8": "bgr8", "bgr8": "rgb8", "rgba8": "bgr8", "bgra8": "rgb8"})
_CODECS: Final = ("", "jpeg", "jpg", "png")
MAX_SIZE: Final = 4096  # pixels, width and height, unless somebody says otherwise


@dataclass(frozen=True)
class ImageRules:
    """What images may be, and what they are where their messages say nothing usable.

    Attributes:
        encoding: Encoding of every image, in the place of what the message says; empty: as the message says. Images of
            more than 8 bits a value stay refused. Of a JPEG or PNG, `rgb8` takes the file's colours as they are, `bgr8`
            exchanges red and blue, `mono8` makes them grey, and a Bayer pattern is interpolated from a grey file; where
            the message says "8UC3; png compressed", it is the encoding of the raw image that was compressed.
        max_width: Largest width in pixels.
        max_height: Largest height in pixels.

    Raises:
        ImageError: The encoding is not supported, or a size is not positive.
    """

    encoding: str = ""
    max_width: int = MAX_SIZE
    max_height: int = MAX_SIZE

    def __post_init__(self) -> None:
        if self.encoding and self.encoding not in _ENCODINGS:
            raise ImageError(f"encoding {self.encoding!r}: expected one of {', '.join(_ENCODINGS)}")
        if min(self.max_width, self.max_height) < 1:
            raise ImageError(f"images of at most {self.max_width} x {self.max_height} pixels: expected 1 or more")


AS_SAID: Final = ImageRules()


def check(message: Any, rules: ImageRules = AS_SAID) -> None:
    """Say quickly, without decoding, whether a message can hold a picture.

    Raises:
        ImageError: Empty, an encoding or format that is not supported, larger than the rules allow, or a size that its
            data contradict.
    """
    if _is_compressed(message):
        _compressed_encoding(message.data, message.format, rules)
    else:
        _layout(message, rules)


def check_decoding(message: Any, rules: ImageRules = AS_SAID) -> None:
    """Say whether a message holds a picture that decodes, at less than the cost of decoding it.

    Raises:
        ImageError: As for `to_rgb`.
    """
    if _is_compressed(message):
        check_file(message.data, rules, message.format)
    else:
        _layout(message, rules)


def check_file(data: Any, rules: ImageRules = AS_SAID, said: str = "") -> None:
    """Say whether a JPEG or PNG file decodes: a JPEG is read and one pixel of 64 made, of a PNG checksums are compared.

    Args:
        data: The file's bytes.
        rules: Bounds, and the encoding.
        said: The format field of its message; empty where there is none.

    Raises:
        ImageError: As for `decode`. A PNG that was written wrong, with checksums that fit, is not found.
    """
    _compressed_encoding(data, said, rules)
    if is_png(data):
        check_checksums(data)
    else:
        _imdecode(data, cv2.IMREAD_REDUCED_GRAYSCALE_8)


def digest(message: Any) -> int:
    """A fingerprint of a frame's data, padding and all: a camera that sends the same again and again is frozen.

    Two frames that differ in one byte never have the same, others one time in 2**32.
    """
    return zlib.crc32(message.data)


def to_rgb(message: Any, rules: ImageRules = AS_SAID) -> NDArray[np.uint8]:
    """The picture as uint8 (height, width, 3) RGB, owning its data.

    `Image`: the encodings of the table above, with any row step; alpha is dropped, YUV is taken as BT.601 of limited
    range, a mosaic is interpolated. All of these have one byte per value, so `is_bigendian` changes nothing.
    `CompressedImage`: JPEG and PNG, see `decode`.

    Raises:
        ImageError: As for `check`, and compressed data that are corrupt.
    """
    if _is_compressed(message):
        return decode(message.data, rules, message.format)
    encoding, rows = _layout(message, rules)
    row = message.width * encoding.values
    data = np.frombuffer(message.data, np.uint8, count=message.step * (rows - 1) + row)
    pixels = np.lib.stride_tricks.as_strided(
        data, (rows, message.width, encoding.values), (message.step, encoding.values, 1), writeable=False
    )
    if encoding.conversion is None:
        return pixels.copy()
    # OpenCV: choosing channels with an index takes numpy 50 times as long.
    return np.asarray(cv2.cvtColor(pixels, encoding.conversion), dtype=np.uint8)


def decode(data: Any, rules: ImageRules = AS_SAID, said: str = "") -> NDArray[np.uint8]:
    """The picture in a JPEG or PNG file as uint8 (height, width, 3) RGB.

    Args:
        data: The file's bytes; anything with a buffer of bytes.
        rules: Bounds, and the encoding.
        said: The format field of its message, as image_transport writes it: "bgr8; jpeg compressed bgr8". Empty where
            there is none.

    Raises:
        ImageError: Neither JPEG nor PNG, corrupt, larger than the rules allow, not 8 bits a value, or a format that
            says that it is no picture.
    """
    encoding = _compressed_encoding(data, said, rules)
    if encoding in ("bgr8", "bgra8"):  # in the file blue stands where red does in others: OpenCV has made it RGB
        return _imdecode(data, cv2.IMREAD_COLOR)
    if encoding.startswith("bayer_"):
        mosaic, spec = _imdecode(data, cv2.IMREAD_GRAYSCALE), _ENCODINGS[encoding]
        assert spec.conversion is not None
        return np.asarray(cv2.cvtColor(mosaic, spec.conversion), dtype=np.uint8)
    if encoding == "mono8":
        return np.asarray(cv2.cvtColor(_imdecode(data, cv2.IMREAD_GRAYSCALE), cv2.COLOR_GRAY2RGB), dtype=np.uint8)
    return np.asarray(cv2.cvtColor(_imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB), dtype=np.uint8)


def _is_compressed(message: Any) -> bool:
    return hasattr(message, "format")


def _refuse_encoding(name: str) -> ImageError:
    why = f" ({_WHY_NOT[name]})" if name in _WHY_NOT else ""
    return ImageError(f"image encoding {name!r} is not supported{why}; expected one of {', '.join(_ENCODINGS)}")


def _encoding(name: str, rules: ImageRules) -> str:
    """The encoding of a raw image whose message says `name`."""
    if rules.encoding and not _WIDE.search(name):
        values, numbers = _ENCODINGS[rules.encoding].values, _NUMBERS.fullmatch(name)
        known = int(numbers[1] or 1) if numbers else _ENCODINGS[name].values if name in _ENCODINGS else values
        if known != values:
            raise ImageError(
                f"image encoding {name!r} has {known} values a pixel: encoding {rules.encoding} has {values}"
            )
        return rules.encoding
    if name not in _ENCODINGS:
        raise _refuse_encoding(name)
    return name


def _layout(message: Any, rules: ImageRules) -> tuple[_Encoding, int]:
    """The encoding, and how many rows the data have."""
    width, height = message.width, message.height
    if height == 0 or width == 0 or len(message.data) == 0:
        raise ImageError(f"image is empty: {width} x {height} pixels, {len(message.data)} bytes")
    name = _encoding(message.encoding, rules)
    check_size(width, height, rules.max_width, rules.max_height)
    encoding = _ENCODINGS[name]
    if width % encoding.columns or height % encoding.rows:
        raise ImageError(
            f"image of {width} x {height} {name} pixels: "
            f"expected multiples of {encoding.columns} x {encoding.rows}, which share a colour"
        )
    _check_mosaic(width, height, name)
    row = width * encoding.values
    if message.step < row:
        raise ImageError(f"image step is {message.step} bytes: {width} {name} pixels need {row}")
    rows = height + height // 2 if encoding.planar else height
    needed = message.step * (rows - 1) + row  # the last row may lack its padding
    if len(message.data) < needed:
        raise ImageError(f"image has {len(message.data)} bytes: {rows} rows of step {message.step} need {needed}")
    return encoding, rows


def _compressed_encoding(data: Any, said: str, rules: ImageRules) -> str:
    """What the pixels of a compressed image are, by its header, its format field and the rules.

    image_transport writes the raw image's encoding, a semicolon, the codec and, where it has converted the pixels, what
    it made of them: "rgb8; jpeg compressed bgr8". Other drivers write "jpeg" or nothing.
    """
    if len(data) == 0:
        raise ImageError(f"image is empty: format {said!r}, 0 bytes" if said else "image is empty: 0 bytes")
    raw, semicolon, rest = (part.strip() for part in said.partition(";"))
    made = rest.partition("compressed")[2].strip()
    if _WIDE.search(raw) and (semicolon or _NUMBERS.fullmatch(raw) or raw in _WHY_NOT):
        raise _refuse_encoding(raw)
    try:
        header = read_header(data, rules.max_width, rules.max_height)
    except ImageError as error:
        raise ImageError(f"compressed image of format {said!r}: {error}" if said else str(error)) from error
    encoding = rules.encoding
    if not encoding and semicolon and raw.lower() not in _CODECS:
        encoding = _said_encoding(said, raw, made)
    elif encoding in _EXCHANGED and semicolon and _NUMBERS.fullmatch(raw) and not made:
        encoding = _EXCHANGED[encoding]  # image_transport has had OpenCV write it, which takes the pixels for BGR
    if encoding.startswith("bayer_"):
        _check_mosaic(header.width, header.height, encoding)
        if header.channels != 1:
            raise ImageError(f"compressed image of format {said!r} has colours: encoding {encoding} has none")
    elif rules.encoding and (_ENCODINGS[encoding].columns, _ENCODINGS[encoding].planar) != (1, False):
        raise ImageError(f"encoding {encoding} is one of raw images: a JPEG or PNG is rgb8, bgr8, mono8 or bayer_*")
    return encoding


def _said_encoding(said: str, raw: str, made: str) -> str:
    """What the pixels of a file are, in the order of the file, if the message says so."""
    if made in _COLOURS:
        return "rgb8"
    if made and made != "mono8":
        raise ImageError(
            f"compressed image of format {said!r}: whether red and blue are exchanged in {made!r} differs between "
            "publishers; the parameter or key `encoding` can tell (rgb8: they are not, bgr8: they are)"
        )
    if raw not in _ENCODINGS:
        raise _refuse_encoding(raw)
    return raw if raw.startswith("bayer_") and not made else "mono8" if made else "rgb8"


def _check_mosaic(width: int, height: int, name: str) -> None:
    least = _ENCODINGS[name].least
    if min(width, height) < least:
        raise ImageError(f"image of {width} x {height} {name} pixels: expected at least {least} x {least}")


def _imdecode(data: Any, flags: int) -> NDArray[np.uint8]:
    """Pixels as OpenCV has them, BGR or grey, of data whose header was read."""
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise ImageError(f"compressed image of {len(data)} bytes is corrupt: {error}") from error
    if pixels is None:
        raise ImageError(f"compressed image of {len(data)} bytes is corrupt")
    return np.asarray(pixels, dtype=np.uint8)
