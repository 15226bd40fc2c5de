"""The lines of earlier sessions, for the arrow keys."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LENGTH = 1000  # lines


def history_file() -> Path:
    """Below XDG_STATE_HOME, or ~/.local/state where it is not set, or not absolute."""
    state = Path(os.environ.get("XDG_STATE_HOME", ""))
    if not state.is_absolute():
        state = Path.home() / ".local" / "state"
    return state / "mobile_vla" / "console_history"


@contextmanager
def line_history(path: Path) -> Iterator[None]:
    """Read lines that were kept, and keep them and the new ones; without readline, nothing is kept.

    Raises:
        OSError: the file cannot be read or written.
    """
    try:
        import readline
    except ImportError:  # Windows, or a Python that was built without it
        yield
        return
    with suppress(FileNotFoundError):
        readline.read_history_file(path)
    readline.set_history_length(LENGTH)
    try:
        yield
    finally:
        path.parent.mkdir(parents=True, exist_ok=True)
        staging = path.with_name(f".{path.name}.{os.getpid()}")
        readline.write_history_file(staging)
        staging.replace(path)
