"""Stored numbers as signals in SI units."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .configuration import StoredSignal
from .episode import Signal


def signal(
    where: str,
    stored: StoredSignal,
    values: NDArray[np.generic],
    stamps: NDArray[np.float64],
    received: NDArray[np.float64] | None,
) -> Signal:
    """Rows of a file as a signal.

    Args:
        where: file and key, for messages.
        stored: what the columns are.
        values: (n, k) as they are in the file.
        stamps: float64 (n,), seconds.
        received: float64 (n,), seconds, or None.

    Raises:
        DataError: another number of columns, or what `Signal` refuses.
    """
    if values.ndim != 2 or values.shape[1] != len(stored.columns):
        raise DataError(
            f"{where} has shape {values.shape}, expected (rows, {len(stored.columns)}) for {', '.join(stored.names)}"
        )
    if values.dtype.kind not in "fiu":
        raise DataError(f"{where} is {values.dtype}, expected numbers")
    scale = np.array([column.scale for column in stored.columns])
    # In float64, so that a scale of 1 changes nothing.
    try:
        return Signal(stored.names, stamps, (values.astype(np.float64) * scale).astype(np.float32), received)
    except DataError as error:
        raise DataError(f"{where}: {error}") from error


def check_names(where: str, stored: StoredSignal, said: Sequence[str]) -> None:
    """A file that says what its columns are must not contradict the configuration; it may call them otherwise.

    Raises:
        DataError: a column of that name is at another place.
    """
    for place, name in enumerate(stored.names):
        if name in said and said.index(name) != place:
            raise DataError(f"{where} says that its columns are {', '.join(said)}, not {', '.join(stored.names)}")
