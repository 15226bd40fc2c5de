"""Files that are filled one after the other."""

from __future__ import annotations

from pathlib import Path
from typing import Generic

from ..opened import C


class NumberedFiles(Generic[C]):
    """The file that is being written, and its number.

    Attributes:
        file: None before the first.
        number: of the file, from 0; -1 before the first.
    """

    def __init__(self) -> None:
        self.file: C | None = None
        self.number = -1
        self._path = Path()

    def begin(self, file: C, path: Path) -> C:
        """Close the last one and go on with another."""
        self.close()
        self.file, self._path = file, path
        self.number += 1
        return file

    @property
    def bytes(self) -> int:
        """On disk so far: an encoder begins late."""
        return self._path.stat().st_size if self._path.exists() else 0

    def close(self) -> None:
        """Close the last one."""
        if self.file is not None:
            self.file.close()
        self.file = None
