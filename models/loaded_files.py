"""The files of a loaded policy: unchanged while they were read, and what of them is still read afterwards.

Weights in memory cannot be changed from outside. Pages of a mapped file can: whoever writes to the file changes them,
and whoever truncates it takes them away, which ends the process with SIGBUS at the next access.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from .engine.onnx_manifest import FOLDER
from .errors import MobileVLAError, PolicyDirectoryError
from .memory.pages import mapped_files
from .policy_entries import CLIP_TOKENIZER, ENTRIES
from .receipt import FILE


@dataclass(frozen=True)
class FileState:
    """What changes when a file is written to or replaced.

    Attributes:
        device, inode: Which file it is.
        size: Bytes.
        modified: Time of the last write in nanoseconds.
    """

    device: int
    inode: int
    size: int
    modified: int

    @classmethod
    def of(cls, found: os.stat_result) -> FileState:
        """What the system says about a file."""
        return cls(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


class LoadedFiles:
    """The files of one policy directory, as they were when loading began.

    A file that stays mapped is held open. Where the kernel grants a read lease on it (fcntl(2): Linux, and the process
    owns the file), it lets a writer wait until the lease is given back, so that a change shows before it happens.
    Without a lease, a change shows in the file's size and time of modification after it has happened.

    Args:
        root: Policy directory; None for a policy that was not loaded from files.
    """

    def __init__(self, root: Path | None = None) -> None:
        self._root = root
        self._states = {path: FileState.of(path.stat()) for path in _files(root)}
        self._held: list[_HeldFile] = []
        self._reason = ""
        self._reading = threading.Lock()

    @contextmanager
    def loading(self) -> Iterator[None]:
        """Load the policy inside; afterwards the files that are still mapped are held.

        Raises:
            PolicyDirectoryError: A file was changed, replaced, added or removed meanwhile; it is named.
        """
        try:
            yield
        except (MobileVLAError, OSError) as error:
            self._refuse_changes(error)
            raise
        names = mapped_files()
        self._held = [_HeldFile(path, state) for path, state in self._states.items() if os.path.realpath(path) in names]
        self._refuse_changes()

    def replaced(self) -> str:
        """Which file of the directory is not the one that was loaded, and how; empty if all are."""
        for path in sorted(self._states.keys() | set(_files(self._root))):
            if path not in self._states:
                return f"{path} was added"
            with suppress(OSError):
                if FileState.of(path.stat()) == self._states[path]:
                    continue
                return f"{path} was changed"
            return f"{path} was removed"
        return ""

    def changed(self) -> str:
        """Why the policy must not be used any more; empty if nothing that it reads has changed. May be called often."""
        if self._held:
            self._look()
            if self._reason and self._reading.acquire(blocking=False):
                try:
                    self._let_writers_go_on()
                finally:
                    self._reading.release()
        return self._reason

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Use the weights inside; a writer waits for the end of it where there is a lease.

        Raises:
            PolicyDirectoryError: A file that the policy reads was changed before, or meanwhile; it is named.
        """
        with self._reading:
            try:
                self._refuse_if_changed()
                yield
                self._refuse_if_changed()
            finally:
                if self._reason:
                    self._let_writers_go_on()

    def __str__(self) -> str:
        """Where the weights are, for the log."""
        if not self._held:
            return "in memory"
        names = ", ".join(held.path.name for held in self._held)
        if all(held.leased for held in self._held):
            return f"mapped from {names}, which writers have to wait for"
        return f"mapped from {names}, which must not be written to: a truncated file ends the process"

    def _refuse_changes(self, error: Exception | None = None) -> None:
        found = self.replaced()
        if found:
            raise PolicyDirectoryError(f"{found} while the policy was being loaded: load it again") from error

    def _refuse_if_changed(self) -> None:
        self._look()
        if self._reason:
            raise PolicyDirectoryError(self._reason)

    def _look(self) -> None:
        for held in self._held if not self._reason else ():
            change = held.change()
            if change:
                self._reason = f"{held.path} {change} while the policy was in use: load the policy anew"
                return

    def _let_writers_go_on(self) -> None:
        for held in self._held:
            held.give_up_lease()


class _HeldFile:
    """A file that is mapped: held open, under a read lease where the kernel grants one.

    Args:
        path: Path of the file.
        state: What the file was when loading began.
    """

    def __init__(self, path: Path, state: FileState) -> None:
        self.path, self._state = path, state
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._descriptor)  # which ends the lease, too
        self.leased = self._take_lease()

    def change(self) -> str:
        """What somebody has done to it, or waits to do; empty if nobody has."""
        if self.leased and fcntl.fcntl(self._descriptor, fcntl.F_GETLEASE) != fcntl.F_RDLCK:
            return "was opened for writing"
        found = FileState.of(os.fstat(self._descriptor))
        same = (found.size, found.modified) == (self._state.size, self._state.modified)
        return "" if same else "was changed"

    def give_up_lease(self) -> None:
        """Let writers go on that wait."""
        if self.leased:
            self.leased = False
            fcntl.fcntl(self._descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)

    def _take_lease(self) -> bool:
        if sys.platform != "linux":
            return False
        try:
            # The kernel's own choice, SIGIO, would end the process; SIGURG is ignored unless somebody asks for it.
            fcntl.fcntl(self._descriptor, fcntl.F_SETSIG, signal.SIGURG)
            fcntl.fcntl(self._descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        except OSError:  # somebody else's file, one that is open for writing, or a file system without leases
            return False
        return True


def _files(root: Path | None) -> list[Path]:
    """What a policy is loaded from: the directory's own entries, and an export's."""
    if root is None:
        return []
    entries = [root / name for name in (*ENTRIES, CLIP_TOKENIZER, FILE, FOLDER)]
    return [file for entry in entries for file in (entry.iterdir() if entry.is_dir() else [entry]) if file.is_file()]
