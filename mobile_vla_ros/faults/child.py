"""A process of the bench: told what to do by lines, watched by what it prints."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

END_TIMEOUT = 10.0  # s for a process to end after a signal
_LINES = 12
_FAULT = re.compile(r"^fault ([\d.]+)$", re.MULTILINE)


class BenchError(RuntimeError):
    """A fault could not be tried; the message says why."""


class Child:
    """A Python module of this package as a process, with its output in a file.

    Args:
        module: its name.
        arguments: of the process.
        environment: of the process.
        log: file for its output.
    """

    def __init__(self, module: str, arguments: Sequence[str], environment: dict[str, str], log: Path) -> None:
        self._module, self._log = module, log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.PIPE,
                bufsize=0,  # what a child that has ended did not read is not written again when its pipe is closed
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,  # a Ctrl-C is for the bench, which then ends its children
            )

    @property
    def runs(self) -> bool:
        """It has not ended."""
        return self._process.poll() is None

    @property
    def output(self) -> str:
        """Everything that it printed."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    @property
    def last_lines(self) -> str:
        """The end of what it printed."""
        return "\n".join(self.output.rstrip().splitlines()[-_LINES:]) or "(it printed nothing)"

    @property
    def faults(self) -> list[float]:
        """When it went wrong: s, steady clock."""
        return [float(time) for time in _FAULT.findall(self.output)]

    @property
    def peak_memory(self) -> int:
        """The most memory that it has had so far, in bytes; Linux only."""
        (line,) = re.findall(
            r"^VmHWM:\s*(\d+) kB$", Path(f"/proc/{self._process.pid}/status").read_text(), re.MULTILINE
        )
        return int(line) * 1024

    def demand(self, fault: str) -> None:
        """Tell it what is to go wrong.

        Raises:
            BenchError: it has ended.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{fault}\n".encode())
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise BenchError(f"{self._module} has ended:\n{self.last_lines}") from error

    def send(self, number: signal.Signals) -> float:
        """Send a signal; the time just before, s, steady clock."""
        begin = time.monotonic()
        self._process.send_signal(number)
        return begin

    def wait(self, timeout: float = END_TIMEOUT) -> int:
        """Its exit code.

        Raises:
            BenchError: it does not end.
        """
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired as error:
            raise BenchError(f"{self._module} did not end within {timeout:g} s:\n{self.last_lines}") from error

    def end(self) -> None:
        """Ask it to end, so that DDS hears of it; kill it if it does not."""
        self.send(signal.SIGINT)
        with contextlib.suppress(BenchError):
            self.wait()
        self.kill()

    def kill(self) -> float:
        """End it, if it runs; the time just before, s, steady clock."""
        begin = self.send(signal.SIGKILL)
        self._process.wait()
        if self._process.stdin is not None and not self._process.stdin.closed:
            self._process.stdin.close()
        return begin
