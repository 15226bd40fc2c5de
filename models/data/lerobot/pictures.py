"""One camera's frames in a LeRobot dataset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ...errors import DataError
from ...image_header import ImageError
from ...images import ImageRules, check_file, decode
from ..left_out import sift
from ..opened import Opened
from .video import read_frames


@dataclass(frozen=True, eq=False)
class VideoPictures:
    """Frames of a video.

    Attributes:
        path: of the video.
        times: float64 (t,), seconds, in the video.
        period: seconds between the video's frames.
        stamps: float64 (t,), seconds.
        received: float64 (t,), seconds, or None.
        rules: What its images may be.
    """

    path: Path
    times: NDArray[np.float64]
    period: float
    stamps: NDArray[np.float64]
    received: NDArray[np.float64] | None
    rules: ImageRules

    def read(self, rows: Sequence[int] | NDArray[np.int64]) -> list[NDArray[np.uint8]]:
        """Frames as RGB uint8 (h, w, 3), in the order asked for; each distinct one is decoded once.

        Raises:
            DataError: the video is gone, damaged or too short.
            IndexError: no such row.
        """
        wanted = _distinct(rows, len(self.times))
        frames = dict(
            zip(wanted.tolist(), read_frames(self.path, self.times[wanted], self.period, self.rules), strict=True)
        )
        return [frames[int(row)] for row in np.asarray(rows)]


@dataclass(frozen=True, eq=False)
class TablePictures:
    """Frames that lie as JPEG or PNG in a table.

    Attributes:
        path: of the Parquet file.
        key: of the column.
        rows: int64 (t,), in the file.
        stamps: float64 (t,), seconds.
        received: float64 (t,), seconds, or None.
        rules: What its images may be.
    """

    path: Path
    key: str
    rows: NDArray[np.int64]
    stamps: NDArray[np.float64]
    received: NDArray[np.float64] | None
    rules: ImageRules

    def read(self, rows: Sequence[int] | NDArray[np.int64]) -> list[NDArray[np.uint8]]:
        """Frames as RGB uint8 (h, w, 3), in the order asked for; each distinct one is decoded once.

        Raises:
            DataError: the table is gone or damaged, or a frame cannot be decoded.
            IndexError: no such row.
        """
        wanted = _distinct(rows, len(self.rows))
        try:
            with _TABLES.use(self.path) as table:
                cells = ((row, table.cell(self.key, int(self.rows[row]))) for row in wanted.tolist())
                frames = {row: decode(_data(cell), self.rules) for row, cell in cells}
        except ImageError as error:
            raise DataError(f"{self.path}: a picture of {self.key} cannot be used: {error}") from error
        except (OSError, pa.ArrowException, KeyError) as error:
            raise DataError(f"{self.path}: not a readable table ({error})") from error
        return [frames[int(row)] for row in np.asarray(rows)]

    def sifted(self) -> tuple[TablePictures, Counter[str]]:
        """Those that can be used, and how many cannot, by the reason.

        Raises:
            DataError: The table is gone or damaged.
        """
        try:
            with _TABLES.use(self.path) as table:
                kept, reasons = sift(
                    len(self.rows), lambda row: check_file(_data(table.cell(self.key, int(self.rows[row]))), self.rules)
                )
        except (OSError, pa.ArrowException, KeyError) as error:
            raise DataError(f"{self.path}: not a readable table ({error})") from error
        received = None if self.received is None else self.received[kept]
        return replace(self, rows=self.rows[kept], stamps=self.stamps[kept], received=received), reasons


class _Table:
    """An open Parquet file; of the pictures only one group of rows is in memory."""

    def __init__(self, path: Path) -> None:
        self._file = pq.ParquetFile(path)
        metadata = self._file.metadata
        lengths = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
        self._starts = np.concatenate([[0], np.cumsum(lengths)])
        self._group: tuple[str, int] | None = None
        self._column = pa.array([])

    def close(self) -> None:
        self._file.close()

    def cell(self, key: str, row: int) -> object:
        """The content of a row of a column."""
        number = int(np.searchsorted(self._starts, row, side="right")) - 1
        if self._group != (key, number):
            self._column = self._file.read_row_group(number, columns=[key]).column(key)
            self._group = (key, number)
        return self._column[row - int(self._starts[number])].as_py()


_TABLES = Opened(_Table, most=8)


def _distinct(rows: Sequence[int] | NDArray[np.int64], count: int) -> NDArray[np.int64]:
    wanted = np.unique(np.asarray(rows, dtype=np.int64))
    if len(wanted) and not 0 <= wanted[0] <= wanted[-1] < count:
        raise IndexError(f"rows {wanted[0]} to {wanted[-1]} of {count} frames")
    return wanted


def _data(cell: object) -> bytes:
    """The file in a cell of a table.

    Raises:
        ImageError: There is none.
    """
    data = cell.get("bytes") if isinstance(cell, dict) else None
    if not isinstance(data, bytes):
        raise ImageError(f"a cell holds {cell!r:.60}, expected the bytes of a JPEG or PNG file")
    return data
