"""JPEG and PNG files of many kinds, and what a hostile sender makes of them."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

HEIGHT, WIDTH = 48, 64
_NOISE = np.random.default_rng(0).integers(0, 256, (HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8)
RGB = np.asarray(cv2.resize(_NOISE, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC), np.uint8)
_ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


def chunk(kind: bytes, content: bytes, length: int | None = None) -> bytes:
    """A chunk of a PNG; `length` in the place of the true one."""
    size = struct.pack(">I", len(content) if length is None else length)
    return size + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(header: bytes, compressed: bytes, *others: bytes) -> bytes:
    """A PNG of an IHDR's content and IDAT's; others are whole chunks before IDAT."""
    parts = (chunk(b"IHDR", header), *others, chunk(b"IDAT", compressed), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def ihdr(width: int, height: int, depth: int = 8, colour: int = 2, interlace: int = 0) -> bytes:
    """The content of an IHDR."""
    return struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)


def _interlaced() -> bytes:
    passes = [RGB[row::down, column::right] for row, column, down, right in _ADAM7]
    rows = b"".join(b"\0" + row.tobytes() for part in passes for row in part)
    return png(ihdr(WIDTH, HEIGHT, interlace=1), zlib.compress(rows))


def _pil(kind: str, mode: str = "RGB", **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(RGB).convert(mode).save(file, kind, **options)
    return file.getvalue()


def _cv(extension: str, pixels: NDArray[np.generic], *options: int) -> bytes:
    return cv2.imencode(extension, pixels, options)[1].tobytes()


def _exif() -> bytes:
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "camera", 1
    return exif.tobytes()


def _text() -> PngImagePlugin.PngInfo:
    about = PngImagePlugin.PngInfo()
    about.add_text("Comment", "a camera " * 40, zip=True)
    about.add_itxt("Title", "corridor")
    return about


def _filled(jpeg: bytes) -> bytes:
    """Fill bytes before the second marker, as the standard allows."""
    return jpeg[:2] + b"\xff" * 7 + jpeg[2:]


REAL: dict[str, bytes] = {
    "jpeg": _cv(".jpg", RGB[..., ::-1]),
    "jpeg 4:4:4": _pil("JPEG", subsampling=0),
    "jpeg progressive": _pil("JPEG", progressive=True),
    "jpeg grey": _pil("JPEG", "L"),
    "jpeg grey progressive": _pil("JPEG", "L", progressive=True),
    "jpeg restarts": _cv(".jpg", RGB[..., ::-1], cv2.IMWRITE_JPEG_RST_INTERVAL, 2),
    "jpeg exif": _pil("JPEG", exif=_exif()),
    "jpeg profile": _pil("JPEG", icc_profile=bytes(range(256)) * 300, comment=b"\xff\xc0\xff\xd9 of a camera"),
    "jpeg fill bytes": _filled(_pil("JPEG")),
    "jpeg padded": _pil("JPEG") + bytes(64),
    "jpeg optimised": _pil("JPEG", optimize=True, quality=30),
    "png": _cv(".png", RGB[..., ::-1]),
    "png grey": _pil("PNG", "L"),
    "png one bit": _pil("PNG", "1"),
    "png palette": _pil("PNG", "P"),
    "png palette of 4": _cv(".png", (RGB[..., 0] > 99).astype(np.uint8) * 255, cv2.IMWRITE_PNG_BILEVEL, 1),
    "png alpha": _pil("PNG", "RGBA"),
    "png grey alpha": _pil("PNG", "LA"),
    "png interlaced": _interlaced(),
    "png text": _pil("PNG", pnginfo=_text(), icc_profile=bytes(range(256)) * 20),
    "png stored": _pil("PNG", compress_level=0),
}
_TALL = struct.pack(">HH", 20000, 20000)


def _sized(jpeg: bytes, size: bytes) -> bytes:
    place = max(jpeg.find(b"\xff\xc0"), jpeg.find(b"\xff\xc2"))
    return jpeg[: place + 5] + size + jpeg[place + 9 :]


HOSTILE: dict[str, tuple[bytes, str]] = {
    "png of 55 bytes that announces 4 GB": (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", ihdr(8, 8)) + chunk(b"IDAT", b"0123456789", 0xFFFFF000)[:22],
        "chunk IDAT announces 4294963200 bytes, 10 are left",
    ),
    "text chunk that announces 4 GB": (
        png(ihdr(8, 8), zlib.compress(bytes(200)), chunk(b"zTXt", b"0123", 0xFFFFFFFF)),
        "chunk zTXt announces 4294967295 bytes",
    ),
    "small jpeg of 20000 x 20000": (_sized(REAL["jpeg"], _TALL), "20000 x 20000 pixels: expected at most 4096 x 4096"),
    "small progressive jpeg of 20000 x 20000": (_sized(REAL["jpeg progressive"], _TALL), "20000 x 20000 pixels"),
    "small jpeg of 4000 x 4000": (
        _sized(REAL["jpeg"], struct.pack(">HH", 4000, 4000)),
        "they cannot hold 4000 x 4000 pixels",
    ),
    "jpeg without a height": (_sized(REAL["jpeg"], struct.pack(">HH", 0, 64)), "image is empty: 64 x 0 pixels"),
    "png of 20000 x 20000": (png(ihdr(20000, 20000), zlib.compress(bytes(10**6))), "20000 x 20000 pixels"),
    "small png of 4096 x 4096": (
        png(ihdr(4096, 4096), zlib.compress(bytes(10))),
        "IDAT cannot hold 4096 x 4096 pixels",
    ),
    "png of 16 bits": (_cv(".png", RGB.astype(np.uint16) * 257), "PNG has 16 bits a value: depth"),
    "depth png": (_cv(".png", RGB[..., 0].astype(np.uint16) * 10), "PNG has 16 bits a value: depth"),
    "cmyk jpeg": (_pil("JPEG", "CMYK"), "JPEG has 4 components"),
    "second header": (
        png(ihdr(8, 8), zlib.compress(bytes(200)), chunk(b"IHDR", ihdr(9999, 9999))),
        "two IHDR chunks",
    ),
    "many empty chunks": (png(ihdr(8, 8), b"", *[chunk(b"tEXt", b"")] * 20000), "no IEND within 16384 chunks"),
    "many scans": (
        REAL["jpeg progressive"][:-2] + b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00" * 500 + b"\xff\xd9",
        "scans: expected at most 128",
    ),
    "markers without an end": (b"\xff\xd8" + b"\xff\xd0" * 10000, "no frame header within 1024 segments"),
    "ones without an end": (b"\xff\xd8" + b"\xff" * 100000, "it ends before its frame header"),
    "segment beyond the end": (b"\xff\xd8\xff\xe1\xff\xff" + bytes(99), "a segment of 65535 bytes at 4"),
    "scan before the frame": (b"\xff\xd8\xff\xda\x00\x02", "marker ff da before its frame header"),
    "bitmap": (_pil("BMP"), "neither JPEG nor PNG: it begins with 42 4d"),
}
Use = Callable[[bytes], object]
