"""All of a camera's frames, a few at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from .episode import Pictures

_BLOCK = 8


def frames(pictures: Pictures, rows: NDArray[np.int64] | None = None) -> Iterator[NDArray[np.uint8]]:
    """The frames of `rows` (all, if None) as RGB uint8 (h, w, 3), never more than a few in memory."""
    wanted = np.arange(len(pictures.stamps)) if rows is None else rows
    for begin in range(0, len(wanted), _BLOCK):
        yield from pictures.read(wanted[begin : begin + _BLOCK])
