"""Tables that Linux writes, such as /proc/meminfo."""

from __future__ import annotations

from pathlib import Path


def read_sizes(path: Path) -> dict[str, int]:
    """The lines `name: number kB` of a file, as bytes by name; lines of another form are left out.

    Raises:
        OSError: not readable.
    """
    sizes: dict[str, int] = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        name, _, value = line.partition(":")
        words = value.split()
        if len(words) == 2 and words[1] == "kB":
            sizes[name] = int(words[0]) * 1024
    return sizes
