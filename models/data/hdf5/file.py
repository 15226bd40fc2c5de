"""Open HDF5 files: one handle a process and file, every failure named with the file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from ...errors import DataError
from ..opened import Opened

TIMES = "times"  # times/<key>/stamp and times/<key>/received hold the true times of dataset <key>


def _open(path: Path) -> h5py.File:
    return h5py.File(path, "r")


_OPENED = Opened(_open, most=64)


@contextmanager
def use_file(path: Path) -> Iterator[h5py.File]:
    """The open file.

    Raises:
        DataError: not an HDF5 file, or damaged; what goes wrong inside the context is said of the file, too.
    """
    try:
        with _OPENED.use(path) as file:
            yield file
    except DataError:
        raise
    except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: not a readable HDF5 file ({error})") from error


def dataset(path: Path, file: h5py.File, key: str) -> h5py.Dataset:
    """A dataset by its key.

    Raises:
        DataError: there is none; those that are there are named.
    """
    found = file.get(key)
    if not isinstance(found, h5py.Dataset):
        raise DataError(f"{path}: no dataset {key!r} among {', '.join(_keys(file)) or 'none'}")
    return found


def _keys(file: h5py.File) -> list[str]:
    keys: list[str] = []
    file.visititems(lambda key, item: keys.append(key) if isinstance(item, h5py.Dataset) else None)
    return keys
