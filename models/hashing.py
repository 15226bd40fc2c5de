"""SHA-256 of files: by what weights are known."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

_CHUNK = 1 << 22


def sha256_of(*paths: Path, done: Callable[[int], object] = lambda size: None) -> str:
    """SHA-256 of files one after the other, hexadecimal; `done` is told the bytes read, piece by piece.

    Raises:
        OSError: one is not readable.
    """
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb", buffering=0) as file:
            while piece := file.read(_CHUNK):
                digest.update(piece)
                done(len(piece))
    return digest.hexdigest()
