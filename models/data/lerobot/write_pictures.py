"""One camera's pictures, into videos or as cells of the table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ...errors import DataError
from ..blocks import frames
from ..configuration import LeRobotTarget
from ..episode import Pictures
from ..writer import Advance
from .layout import FILES_PER_CHUNK, VIDEO, VIDEO_MEGABYTES, numbered
from .numbered import NumberedFiles
from .stats import PixelCounts, sampled
from .video import VideoWriter

_CELL = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


@dataclass(frozen=True)
class Written:
    """What became of an episode's pictures.

    Attributes:
        size: height and width.
        counts: of their pixels.
        cells: of the table; None where they are in a video.
        about: where in which video.
    """

    size: tuple[int, int]
    counts: PixelCounts
    cells: pa.Array | None
    about: dict[str, Any]


class CameraWriter:
    """Writes the pictures of one camera, episode after episode."""

    def __init__(self, root: Path, key: str, target: LeRobotTarget) -> None:
        self._root = root
        self._key = key
        self._target = target
        self._videos: NumberedFiles[VideoWriter] = NumberedFiles()
        self.counts = PixelCounts()

    def add(self, source: str, pictures: Pictures, rows: NDArray[np.int64], advance: Advance) -> Written:
        """Write an episode's pictures: those of `rows`, in that order.

        Raises:
            DataError: their size changes.
        """
        counts, counted = PixelCounts(), sampled(len(rows))
        size: tuple[int, int] | None = None
        cells: list[dict[str, Any]] = []
        video: VideoWriter | None = None
        first = 0
        for number, rgb in enumerate(frames(pictures, rows)):
            if size is None:
                size = (rgb.shape[0], rgb.shape[1])
                if self._target.pictures != "png":
                    video = self._video(size)
                    first = video.frames
            if rgb.shape[:2] != size:
                raise DataError(f"{source}: pictures of {self._key} change from {size} to {rgb.shape[:2]}")
            if number in counted:
                counts.add(rgb)
            if video is None:
                cells.append({"bytes": _png(rgb), "path": None})
            else:
                video.add(rgb)
            advance(1)
        if size is None:
            raise DataError(f"{source}: no pictures of {self._key}")
        self.counts += counts
        if video is None:
            return Written(size, counts, pa.array(cells, _CELL), {})
        return Written(size, counts, None, self._about(first, video))

    def close(self) -> None:
        """Finish the last video."""
        self._videos.close()

    def _video(self, size: tuple[int, int]) -> VideoWriter:
        version, file = self._target.version, self._videos.file
        if file is not None and version == "v3.0" and self._videos.bytes < VIDEO_MEGABYTES * 2**20:
            if file.size != size:
                raise DataError(f"{self._key}: pictures change from {file.size} to {size} between episodes")
            return file
        path = self._root / numbered(VIDEO[version], self._videos.number + 1, video_key=self._key)
        return self._videos.begin(VideoWriter(path, self._target.fps, size, self._target.pictures), path)

    def _about(self, first: int, video: VideoWriter) -> dict[str, Any]:
        if self._target.version == "v2.1":
            return {}
        chunk, place = divmod(self._videos.number, FILES_PER_CHUNK)
        found = {
            "chunk_index": chunk,
            "file_index": place,
            "from_timestamp": first / self._target.fps,
            "to_timestamp": video.frames / self._target.fps,
        }
        return {f"videos/{self._key}/{name}": value for name, value in found.items()}


def _png(rgb: NDArray[np.uint8]) -> bytes:
    _, data = cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 1])
    return data.tobytes()
