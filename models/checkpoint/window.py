"""A part of a file, read in order and never beyond its end."""

from __future__ import annotations

from pickle import UnpicklingError
from typing import BinaryIO


class Window:
    """As much of a file object as a reader of pickles needs."""

    def __init__(self, file: BinaryIO, begin: int, end: int) -> None:
        self._file = file
        self._position = begin
        self._end = end
        file.seek(begin)

    def read(self, count: int) -> bytes:
        """The next bytes. A length that reaches beyond the end is refused before any of it is read."""
        if count > self._end - self._position:
            raise UnpicklingError(f"it does not end by byte {self._end}: cut off or damaged")
        data = self._file.read(count)
        self._position += len(data)
        return data

    def readline(self) -> bytes:
        """The next bytes up to a line feed."""
        data = self._file.readline(self._end - self._position)
        self._position += len(data)
        return data

    def tell(self) -> int:
        """The byte in the file that is read next."""
        return self._position
