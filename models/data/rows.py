"""One action and one measurement for each picture: for formats whose rows hold all at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .episode import Signal


def answering(signal: Signal, stamps: NDArray[np.float64]) -> NDArray[np.int64]:
    """Rows of the first command issued from each stamp on (the answer to the frame seen then); the last, if none."""
    # A microsecond of grace: a command with the stamp of its frame is its answer.
    return np.asarray(np.minimum(np.searchsorted(signal.stamps, stamps - 1e-6), len(signal) - 1), dtype=np.int64)


def measured(signal: Signal, stamps: NDArray[np.float64]) -> NDArray[np.int64]:
    """Rows of the newest measurement at each stamp; the first, if it is later."""
    return np.asarray(np.maximum(np.searchsorted(signal.stamps, stamps, side="right") - 1, 0), dtype=np.int64)


def nearest(stamps: NDArray[np.float64], to: NDArray[np.float64]) -> NDArray[np.int64]:
    """Rows of the stamps nearest to each of `to`; of two as near the earlier."""
    after = np.clip(np.searchsorted(stamps, to), 1, max(1, len(stamps) - 1))
    closer = to - stamps[after - 1] <= stamps[np.minimum(after, len(stamps) - 1)] - to
    return np.asarray(np.where(closer, after - 1, np.minimum(after, len(stamps) - 1)), dtype=np.int64)
