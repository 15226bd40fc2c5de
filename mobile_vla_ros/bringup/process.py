"""A ROS node as a child process with a log file; it ends with whoever started it, however that comes."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from .errors import BringUpError

GRACE = ((signal.SIGINT, 15.0), (signal.SIGTERM, 3.0), (signal.SIGKILL, 5.0))  # s to wait after each
LOG_LINES = 15


class NodeProcess:
    """A running node.

    Attributes:
        name: for messages.
        log: file with everything that it printed.
    """

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self.log = log
        self._process = process

    @property
    def pid(self) -> int:
        """Of the process, which is also the id of its group."""
        return self._process.pid

    def check(self) -> None:
        """Do nothing while it runs.

        Raises:
            BringUpError: it has ended; with its exit code and the end of its log.
        """
        code = self._process.poll()
        if code is not None:
            raise BringUpError(f"{self.name} ended with exit code {code}; the end of {self.log}:\n{self.last_lines()}")

    def last_lines(self) -> str:
        """The end of its log."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").rstrip().splitlines()
        return "\n".join(f"  {line}" for line in lines[-LOG_LINES:]) or "  (it printed nothing)"

    def stop(self) -> None:
        """Ask it to end, ever more firmly, and wait for it.

        Raises:
            BringUpError: SIGINT was not enough, or nothing was.
        """
        for number, grace in GRACE:
            if self._process.poll() is not None:
                return
            self._process.send_signal(number)
            try:
                self._process.wait(grace)
            except subprocess.TimeoutExpired:
                continue
            if number is not signal.SIGINT:
                raise BringUpError(f"{self.name} went on after SIGINT and had to be ended with {number.name}")
            return
        raise BringUpError(f"{self.name}, process {self.pid}, does not even end by SIGKILL")


def let_children_hang_up() -> None:
    """Where SIGHUP is ignored (nohup), take it and do nothing: what is ignored, children would ignore, too."""
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: None)


@contextmanager
def node_process(name: str, command: Sequence[str], environment: dict[str, str], log: Path) -> Iterator[NodeProcess]:
    """Start a node and end it on leaving.

    It has a session of its own: a Ctrl-C in the terminal reaches the caller only, which then ends its children in
    order. A child inherits an ignored SIGINT, but not a handler: so the caller must have one.

    Args:
        name: for messages.
        command: program and arguments.
        environment: of the process.
        log: file for its output.

    Raises:
        BringUpError: SIGINT is ignored here, or on leaving did not end it.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        raise BringUpError(f"{name} cannot be started while SIGINT is ignored: nothing could end it in order")
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
        node = NodeProcess(name, process, log)
        try:
            yield node
        finally:
            node.stop()
