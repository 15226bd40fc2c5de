"""Files that stay open between reads: opening one again for every picture would cost more than the picture."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Generic, Protocol, TypeVar


class Closable(Protocol):
    """What can be closed."""

    def close(self) -> None:
        """Let go of the file."""


C = TypeVar("C", bound=Closable)
Key = tuple[Path, int, int]


class Opened(Generic[C]):
    """Open files by path, one at a time in use; a process that was forked opens its own.

    A file that was replaced since is opened anew.

    Args:
        open_file: opens one.
        most: of them that stay open; the one not used for longest is closed.
    """

    def __init__(self, open_file: Callable[[Path], C], most: int) -> None:
        self._open_file = open_file
        self._most = most
        self._start_empty()

    def _start_empty(self) -> None:
        self._process = os.getpid()
        self._lock = Lock()
        self._files: OrderedDict[Key, C] = OrderedDict()

    @contextmanager
    def use(self, path: Path) -> Iterator[C]:
        """The open file; no other thread has it until the context is left.

        Raises:
            OSError: it is not there, and whatever opening it raises.
        """
        if self._process != os.getpid():
            self._inherited = self._files  # kept, not closed: they are still the parent's
            self._start_empty()
        with self._lock:
            found = path.stat()
            key = (path, found.st_ino, found.st_mtime_ns)
            file = self._files.pop(key, None)
            if file is None:
                file = self._open_file(path)
            self._files[key] = file
            while len(self._files) > self._most:
                self._files.popitem(last=False)[1].close()
            yield file
