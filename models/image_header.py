"""Size and kind of a JPEG or PNG image by its header, before a decoder allocates what the header says."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

_JPEG: Final = b"\xff\xd8\xff"
_PNG: Final = b"\x89PNG\r\n\x1a\n"
# As libjpeg looks for the next marker: whatever is between two, fill bytes and stuffed zeros are passed over.
_MARKER: Final = re.compile(rb"\xff[^\xff\x00]")
_MARKERS_ALONE: Final = frozenset((0x01, *range(0xD0, 0xD8)))  # TEM, RST0 to RST7
_FRAMES: Final = frozenset((*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)))
_PROGRESSIVE: Final = frozenset((0xC2, 0xCA))
_FRAMES_DECODED: Final = frozenset((0xC0, 0xC1, 0xC9)) | _PROGRESSIVE
_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA
_ARITHMETIC = 0xC9  # the first frame marker of it
# A block of 8 x 8 pixels takes one bit at least, with Huffman codes: more pixels than this for a byte cannot be there.
_PIXELS_PER_BYTE = 512
_SEGMENTS = 1024  # before the frame: EXIF, colour profiles and the like are some tens
_SCANS = 128  # of a progressive JPEG; encoders write about ten
# The widths of a value by colour type, and the values of a pixel.
_PNG_DEPTHS: Final[Mapping[int, tuple[int, ...]]] = MappingProxyType(
    {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
)
_PNG_CHANNELS: Final[Mapping[int, int]] = MappingProxyType({0: 1, 2: 3, 3: 3, 4: 1, 6: 3})
_PNG_VALUES: Final[Mapping[int, int]] = MappingProxyType({0: 1, 2: 3, 3: 1, 4: 2, 6: 4})
_CHUNKS = 16384  # of a PNG; encoders write 8 KiB or more in one
_DEFLATE = 1032  # bytes that deflate makes of one at most


class ImageError(ValueError):
    """An image cannot be used; the message names what is wrong and what was expected."""


@dataclass(frozen=True)
class ImageHeader:
    """What an image file says of itself.

    Attributes:
        width, height: Size in pixels.
        channels: Colour channels, 1 (grey) or 3; a palette has 3, alpha is not counted.
    """

    width: int
    height: int
    channels: int


def read_header(data: Any, max_width: int, max_height: int) -> ImageHeader:
    """Read the header of a JPEG or PNG image, and check it against the size of the data.

    Args:
        data: The file's bytes; anything with a buffer of bytes.
        max_width: Largest width in pixels.
        max_height: Largest height in pixels.

    Raises:
        ImageError: Neither JPEG nor PNG, larger than the bounds, more than the data can hold, not 8 bits a value, or
            malformed.
    """
    view = memoryview(data).cast("B")
    begin = bytes(view[:8])
    if begin.startswith(_JPEG):
        return _jpeg(view, max_width, max_height)
    if begin == _PNG:
        return _png(view, max_width, max_height)
    raise ImageError(f"neither JPEG nor PNG: it begins with {begin.hex(' ') or 'nothing'}")


def check_size(width: int, height: int, max_width: int, max_height: int) -> None:
    """Refuse an image that is empty, or larger than the bounds.

    Raises:
        ImageError: The message gives both sizes.
    """
    if width == 0 or height == 0:
        raise ImageError(f"image is empty: {width} x {height} pixels")
    if width > max_width or height > max_height:
        raise ImageError(f"image of {width} x {height} pixels: expected at most {max_width} x {max_height}")


def is_png(data: Any) -> bool:
    """Whether the data begin as a PNG file does."""
    return bytes(memoryview(data).cast("B")[:8]) == _PNG


def check_checksums(data: Any) -> None:
    """Compare the checksums of a PNG whose header was read: a byte that has changed since it was written is found.

    Raises:
        ImageError: One differs; the message names the chunk.
    """
    view, place, kind = memoryview(data).cast("B"), len(_PNG), b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", view, place)
        (expected,) = struct.unpack_from(">I", view, place + 8 + length)
        if zlib.crc32(view[place + 4 : place + 8 + length]) != expected:
            raise ImageError(f"PNG is corrupt: the checksum of chunk {_named(kind)} at {place} is another one")
        place += length + 12


def _jpeg(view: memoryview, max_width: int, max_height: int) -> ImageHeader:
    place = 2
    for _ in range(_SEGMENTS):
        found = _MARKER.search(view, place)
        if found is None:
            raise ImageError(f"JPEG of {len(view)} bytes is corrupt: it ends before its frame header")
        marker, place = view[found.end() - 1], found.end()
        if marker in _MARKERS_ALONE:
            continue
        if marker in (_SOI, _EOI, _SOS):
            raise ImageError(f"JPEG is corrupt: marker ff {marker:02x} before its frame header")
        length = int.from_bytes(view[place : place + 2], "big")
        if length < 2 or place + length > len(view):
            raise ImageError(
                f"JPEG is corrupt: a segment of {length} bytes at {place}, expected 2 to {len(view) - place}"
            )
        if marker in _FRAMES:
            return _jpeg_frame(view, marker, bytes(view[place + 2 : place + length]), max_width, max_height)
        place += length
    raise ImageError(f"JPEG is corrupt: no frame header within {_SEGMENTS} segments")


def _jpeg_frame(view: memoryview, marker: int, frame: bytes, max_width: int, max_height: int) -> ImageHeader:
    if marker not in _FRAMES_DECODED:
        raise ImageError(f"JPEG of kind ff {marker:02x} is not supported: expected baseline or progressive")
    if len(frame) < 6:
        raise ImageError(f"JPEG is corrupt: a frame header of {len(frame)} bytes")
    depth, height, width, components = struct.unpack(">BHHB", frame[:6])
    if depth != 8:
        raise ImageError(f"JPEG has {depth} bits a value: expected 8")
    if components not in (1, 3):
        raise ImageError(f"JPEG has {components} components (4: CMYK): expected 1 (grey) or 3 (colour)")
    check_size(width, height, max_width, max_height)
    if marker < _ARITHMETIC and width * height > _PIXELS_PER_BYTE * len(view):
        raise ImageError(f"JPEG of {len(view)} bytes is corrupt: they cannot hold {width} x {height} pixels")
    if marker in _PROGRESSIVE and (scans := bytes(view).count(b"\xff\xda")) > _SCANS:
        raise ImageError(f"JPEG has {scans} scans: expected at most {_SCANS}")
    return ImageHeader(width, height, components)


def _png(view: memoryview, max_width: int, max_height: int) -> ImageHeader:
    place, length, kind = len(_PNG), 0, b""
    header: tuple[int, ...] = ()
    compressed = 0
    for _ in range(_CHUNKS):
        if place + 12 > len(view):
            raise ImageError(f"PNG of {len(view)} bytes is corrupt: it ends before its IEND chunk")
        length, kind = struct.unpack_from(">I4s", view, place)
        if length > len(view) - place - 12:
            raise ImageError(
                f"PNG is corrupt: chunk {_named(kind)} announces {length} bytes, {len(view) - place - 12} are left"
            )
        if not header:
            if kind != b"IHDR" or length != 13:
                raise ImageError(f"PNG is corrupt: it begins with chunk {_named(kind)} of {length} bytes, not IHDR")
            header = struct.unpack_from(">IIBBBBB", view, place + 8)
        elif kind == b"IHDR":
            raise ImageError("PNG is corrupt: it has two IHDR chunks")
        elif kind == b"IDAT":
            compressed += length
        elif kind == b"IEND":
            return _png_header(header, compressed, max_width, max_height)
        elif kind == b"acTL":
            raise ImageError("PNG is animated: expected one image")
        place += length + 12
    raise ImageError(f"PNG is corrupt: no IEND within {_CHUNKS} chunks")


def _png_header(header: tuple[int, ...], compressed: int, max_width: int, max_height: int) -> ImageHeader:
    width, height, depth, colour, compression, filters, interlace = header
    if depth not in _PNG_DEPTHS.get(colour, ()) or compression or filters or interlace > 1:
        raise ImageError(f"PNG is corrupt: its header holds {', '.join(map(str, header))}")
    if depth == 16:
        raise ImageError("PNG has 16 bits a value: depth or raw intensity, not a picture; expected 8")
    check_size(width, height, max_width, max_height)
    needed = height * ((width * _PNG_VALUES[colour] * depth + 7) // 8)
    if needed > _DEFLATE * compressed:
        raise ImageError(f"PNG is corrupt: {compressed} bytes of IDAT cannot hold {width} x {height} pixels")
    return ImageHeader(width, height, _PNG_CHANNELS[colour])


def _named(kind: bytes) -> str:
    return kind.decode("ascii") if kind.isalpha() else kind.hex(" ")
