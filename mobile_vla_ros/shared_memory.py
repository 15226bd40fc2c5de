"""Files of Fast DDS in shared memory that no process holds; `python3 -m mobile_vla_ros.shared_memory` removes them.

A process that is killed leaves its own behind, and nobody removes them before the machine restarts; among thousands,
new nodes sometimes do not hear each other. A file is in use as long as a process holds the lock beside it; `fastdds shm
clean` goes by that, too, but not every installation has it.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections import defaultdict
from pathlib import Path

FOLDER = Path("/dev/shm")
YOUNG = 1.0  # s; a file is made before it is locked
_NAME = re.compile(r"(?:sem\.)?(fast(?:rtps|dds)_(?:[0-9a-f]{16}|port\d+))(?:_el|_sl|_mutex)?")
_LOCKS = ("_el", "_sl")  # held by one process; by several


def left_behind(folder: Path = FOLDER) -> list[Path]:
    """The files of segments and ports that nobody holds, sorted.

    Args:
        folder: where shared memory lies.
    """
    groups: dict[str, list[Path]] = defaultdict(list)
    for file in folder.iterdir() if folder.is_dir() else ():
        found = _NAME.fullmatch(file.name)
        if found is not None:
            groups[found.group(1)].append(file)
    return sorted(file for files in groups.values() if not any(map(_in_use, files)) for file in files)


def remove_left_behind(folder: Path = FOLDER) -> int:
    """Remove them; how many files there were."""
    files = left_behind(folder)
    for file in files:
        file.unlink(missing_ok=True)
    return len(files)


def _in_use(file: Path) -> bool:
    """It is new, or the lock of a process, or not ours to tell."""
    try:
        if time.time() - file.stat().st_mtime < YOUNG:
            return True
        if not file.name.endswith(_LOCKS):
            return False
        lock = os.open(file, os.O_RDONLY)
    except FileNotFoundError:
        return False
    except PermissionError:
        return True
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


if __name__ == "__main__":
    print(f"{remove_left_behind()} files removed from {FOLDER}")
