"""Somebody at the console: types a line, reads what is shown."""

import io
import re

import numpy as np
from numpy.typing import NDArray

from mobile_vla_models.console import Console


class ConsoleUser:
    """Reads from the stream that the console writes to."""

    def __init__(self, console: Console, shown: io.StringIO) -> None:
        self._console = console
        self._shown = shown

    def says(self, line: str) -> str:
        """What is shown after a line that does not end the console."""
        assert not self.ends(line)
        return self.reads()

    def ends(self, line: str) -> bool:
        return bool(self._console.onecmd(line))

    def reads(self) -> str:
        """What has been shown since the last look."""
        text = self._shown.getvalue()
        self._shown.seek(0)
        self._shown.truncate()
        return text


def rows(text: str) -> NDArray[np.float64]:
    """The numbers of a table, a row for each of its lines that begin with one."""
    lines = [re.findall(r"[-+]?\d+\.?\d*", line) for line in text.splitlines() if re.match(r"│ \d", line)]
    return np.array(lines, dtype=np.float64)
