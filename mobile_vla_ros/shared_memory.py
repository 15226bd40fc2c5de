"""Files of Fast DDS in shared memory that no process holds; `python3 -m mobile_vla_ros.shared_memory` removes them.

A process that is killed leaves its own behind, and nobody removes them before the machine restarts; among thousands,
new nodes sometimes do not hear each other. What a process listens on is in use as long as it holds the lock beside it;
`fastdds shm clean` goes by that, too, but not every installation has it.
"""

from __future__ import annotations

import fcntl
import re
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

FOLDER = Path("/dev/shm")
YOUNG = 1.0  # s; a file is made before it is locked
_NAME = re.compile(r"(?:sem\.)?(fast(?:rtps|dds)_(?:[0-9a-f]{16}|port\d+))(?:_el|_sl|_mutex)?")
_LOCKS = ("_el", "_sl")  # held by one process; by several


def left_behind(folder: Path = FOLDER) -> list[Path]:
    """The files of segments and ports whose locks nobody holds, sorted.

    Args:
        folder: where shared memory lies.
    """
    found = []
    for files in _groups(folder):
        with _held(files) as free:
            found += files if free else []
    return sorted(found)


def remove_left_behind(folder: Path = FOLDER) -> int:
    """Remove them, but for those of other users; how many files were removed.

    Each is locked meanwhile, so that no process takes it up.
    """
    removed = 0
    for files in _groups(folder):
        with _held(files) as free:
            for file in files if free else ():
                try:
                    file.unlink()
                except (FileNotFoundError, PermissionError):
                    continue
                removed += 1
    return removed


def _groups(folder: Path) -> list[list[Path]]:
    """The files of each segment or port that has a lock: who only writes to a port has none."""
    groups: dict[str, list[Path]] = defaultdict(list)
    for file in folder.iterdir() if folder.is_dir() else ():
        found = _NAME.fullmatch(file.name)
        if found is not None:
            groups[found.group(1)].append(file)
    return [files for files in groups.values() if any(file.name.endswith(_LOCKS) for file in files)]


@contextmanager
def _held(files: list[Path]) -> Iterator[bool]:
    """Take the locks; false if a process has one, or they are new, gone, or not to be read."""
    with ExitStack() as stack:
        try:
            for file in files:
                if file.name.endswith(_LOCKS):
                    fcntl.flock(stack.enter_context(file.open("rb")), fcntl.LOCK_EX | fcntl.LOCK_NB)
            free = all(time.time() - file.stat().st_mtime > YOUNG for file in files)
        except (BlockingIOError, FileNotFoundError, PermissionError):
            free = False
        yield free


def main() -> None:
    """Remove them, and say what is left to do."""
    print(f"{remove_left_behind()} files removed from {FOLDER}")
    left = len(left_behind())
    if left:
        print(f"{left} files that no process holds belong to other users: run this as them, or as root")


if __name__ == "__main__":
    main()
