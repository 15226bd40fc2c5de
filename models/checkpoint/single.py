"""One file of weights: which format it has is read from its first bytes, not from its name."""

from __future__ import annotations

from pathlib import Path

from ..errors import CheckpointError
from .container import Checkpoint
from .foreign import printable
from .safetensors_file import read_safetensors
from .torch_legacy import read_torch_legacy
from .torch_zip import SIGNATURE, read_torch_zip

_HEAD = 512
_LFS = b"version https://git-lfs.github.com/spec/"
_PICKLE = b"\x80"
_LENGTH = 8
_TAR = slice(257, 262)
_KNOWN = (
    (b"\x1f\x8b", "compressed with gzip: unpack it first"),
    (b"\xfd7zXZ", "compressed with xz: unpack it first"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd: unpack it first"),
    (b"7z\xbc\xaf", "a 7-Zip archive: unpack it first"),
    (b"Rar!", "a RAR archive: unpack it first"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"GGUF", "a GGUF file of llama.cpp: not supported"),
    (b"\x89HDF", "an HDF5 file, as Keras writes: not supported"),
    (b"\x93NUMPY", "an array of numpy: not supported"),
    (b"%PDF", "a PDF document"),
)
EXPECTED = "expected a file of torch.save (.pth, .pt, .ckpt, .bin) or safetensors"


def read_file(path: Path) -> Checkpoint:
    """Read one file.

    Raises:
        CheckpointError: not there, not readable, damaged, or of another format, which is named where it is known.
    """
    if not path.is_file():
        raise CheckpointError(f"{path} {'is no regular file' if path.exists() else 'does not exist'}")
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
        if head.startswith(SIGNATURE):
            return read_torch_zip(path)
        # Eight printable characters are a text, and as a length beyond all files.
        if head[_LENGTH : _LENGTH + 1] == b"{" and not _is_text(head[:_LENGTH]):
            return read_safetensors(path)
        if head.startswith(_PICKLE):
            return read_torch_legacy(path)
    except OSError as error:
        raise CheckpointError(f"{path}: not readable ({error})") from error
    raise CheckpointError(f"{path} {_what(head)}; {EXPECTED}")


def _what(head: bytes) -> str:
    if not head:
        return "is empty (0 bytes): a download or a copy that did not happen"
    if head.startswith(_LFS):
        return "is a git-LFS pointer, not the weights: run `git lfs pull` where it was cloned"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<?xml")):
        return "is a web page, not the weights: the download needs a login, or the link leads to a page about the file"
    if head[_TAR] == b"ustar":
        return (
            "is a tar archive; torch's own tar format, from before version 0.1.10, is not supported: load it with an "
            "old torch and save it anew"
        )
    for signature, what in _KNOWN:
        if head.startswith(signature):
            return f"is {what}"
    if SIGNATURE.startswith(head) or len(head) <= _LENGTH:
        return f"is cut off: it has {len(head)} bytes"
    if not any(head):
        return "begins with zeros only: a download or a copy that was not finished"
    if _is_text(head):
        return f"is a text file that begins with {printable(head[:60].decode('ascii'))!r}"
    return f"is of an unknown format and begins with the bytes {head[:8].hex(' ')}"


def _is_text(data: bytes) -> bool:
    return all(byte in b"\t\r\n" or 32 <= byte < 127 for byte in data)
