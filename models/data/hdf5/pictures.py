"""One camera's frames in an HDF5 file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .file import dataset, use_file


@dataclass(frozen=True, eq=False)
class Hdf5Pictures:
    """Rows of a dataset uint8 (t, h, w, 3).

    Attributes:
        path: of the file.
        key: of the dataset.
        first: row of the file that is frame 0.
        bgr: whether blue comes first in the file.
        stamps: float64 (t,), seconds.
        received: float64 (t,), seconds, or None.
    """

    path: Path
    key: str
    first: int
    bgr: bool
    stamps: NDArray[np.float64]
    received: NDArray[np.float64] | None

    def read(self, rows: Sequence[int] | NDArray[np.int64]) -> list[NDArray[np.uint8]]:
        """Frames as RGB uint8 (h, w, 3), in the order asked for; each distinct one is read once.

        Raises:
            DataError: the file is gone or damaged.
            IndexError: no such row.
        """
        wanted = np.unique(np.asarray(rows, dtype=np.int64))
        if len(wanted) and not 0 <= wanted[0] <= wanted[-1] < len(self.stamps):
            raise IndexError(f"rows {wanted[0]} to {wanted[-1]} of {len(self.stamps)} frames")
        with use_file(self.path) as file:
            stored = dataset(self.path, file, self.key)
            frames = {int(row): self._rgb(stored[self.first + int(row)]) for row in wanted}
        return [frames[int(row)] for row in np.asarray(rows)]

    def _rgb(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.ascontiguousarray(picture[:, :, ::-1]) if self.bgr else picture
