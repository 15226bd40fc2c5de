"""Features of frames, kept in files whose names are hashes of all that made them: what is stale is not found."""

from __future__ import annotations

import hashlib
import os
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .episode import Pictures


@dataclass(frozen=True, eq=False)
class KeptFeatures:
    """Features of an episode's frames.

    Attributes:
        path: of the file.
        frames: t, that it holds.
        sizes: of the features by name, in the order of the columns.
    """

    path: Path
    frames: int
    sizes: dict[str, int]

    @property
    def width(self) -> int:
        """Columns."""
        return sum(self.sizes.values())

    @property
    def table(self) -> NDArray[np.float16]:
        """float16 (t, width), mapped from the file.

        Raises:
            DataError: the file is gone or damaged.
        """
        key = (self.path, os.getpid())
        found = _MAPPED.get(key)
        if found is None:
            try:
                found = np.load(self.path, mmap_mode="r", allow_pickle=False)
            except (OSError, ValueError, EOFError) as error:
                raise DataError(f"{self.path}: not readable ({error}); delete it, and it is computed anew") from error
            if found.shape != (self.frames, self.width) or found.dtype != np.float16:
                raise DataError(
                    f"{self.path} holds {found.dtype} {found.shape}, expected float16 {(self.frames, self.width)}; "
                    "delete it, and it is computed anew"
                )
            _MAPPED[key] = found
        return found


_MAPPED: dict[tuple[Path, int], NDArray[np.float16]] = {}


class FeatureCache:
    """A folder of features.

    Args:
        folder: of the files.
        towers: hash of what computes them: weights, preprocessing, prompt.
        sizes: of the features by name.
    """

    def __init__(self, folder: Path, towers: str, sizes: dict[str, int]) -> None:
        self._folder, self._towers, self._sizes = folder / towers[:32], towers, sizes
        self.computed = 0

    def kept(self, frames: int, identity: str, compute: Callable[[], NDArray[np.float32]]) -> KeptFeatures:
        """The features of frames, computed if nobody has yet.

        Args:
            frames: t, how many.
            identity: hash of the frames, their instruction and their version.
            compute: float32 (t, width).

        Raises:
            DataError: a feature that float16 cannot hold, or a file that is damaged.
        """
        path = self._folder / f"{hashlib.sha256(f'{self._towers} {identity}'.encode()).hexdigest()}.npy"
        found = KeptFeatures(path, frames, self._sizes)
        if not path.exists():
            with np.errstate(over="ignore"):
                table = compute().astype(np.float16)
            if not np.isfinite(table).all():
                raise DataError(
                    "a feature of a frame is not finite as float16: train on pictures, not on kept features"
                )
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_suffix(f".{os.getpid()}.part")
            with temporary.open("wb") as file:
                np.save(file, table, allow_pickle=False)
            temporary.replace(path)
            self.computed += 1
        _ = found.table
        return found


def identity(pictures: Pictures, rows: NDArray[np.int64]) -> bytes:
    """Of the frames of a camera: what they are looked up by, and their files' names, sizes and times of change.

    Frames without a file are themselves part of it.
    """
    # Written to be hashed, never to be read: it holds whatever says which frames are meant and how they are decoded.
    digest = hashlib.sha256(pickle.dumps(pictures, protocol=4) + rows.tobytes())
    path = getattr(pictures, "path", None)
    if isinstance(path, Path):
        files = sorted(found for found in path.rglob("*") if found.is_file()) if path.is_dir() else [path]
        for file in files:
            stat = file.stat()
            digest.update(f"{file.name} {stat.st_size} {stat.st_mtime_ns} ".encode())
    return digest.digest()
