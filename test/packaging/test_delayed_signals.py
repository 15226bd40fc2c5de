"""A command under delayed_signals.py: it gets signals late and once, and is not left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mobile_vla_ros.bringup.delayed_signals import HANDED_ON, launch_prefix

DELAY = 0.4  # s
# Notes its process and the signals that it gets, with the time; ends with 7 after the number of them that it is told.
COMMAND = """
import os, signal, sys, time
def note(*words):
    print(*words, flush=True)
def on_signal(number, frame):
    note(number, time.monotonic())
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, on_signal)
note(os.getpid(), os.getsid(0))
end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    time.sleep(0.01)
sys.exit(7)
"""


class Delayed:
    """The command of this file, which runs for some seconds, and the process before it."""

    def __init__(self, log: Path, seconds: float, **how: object) -> None:
        prefix = launch_prefix({}, DELAY)
        assert prefix is not None
        self._log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [*prefix.split(), sys.executable, "-c", COMMAND, str(seconds)],
                stdout=output,
                start_new_session=True,
                **how,  # type: ignore[call-overload]
            )
        until(lambda: bool(self._lines()))
        self.pid, self.session = map(int, self._lines()[0])

    def _lines(self) -> list[list[str]]:
        text = self._log.read_text()
        return [line.split() for line in text[: text.rfind("\n") + 1].splitlines()]

    def signals(self) -> list[tuple[int, float]]:
        """What it has got: number, s monotonic."""
        return [(int(number), float(arrived)) for number, arrived in self._lines()[1:]]

    @property
    def runs(self) -> bool:
        return Path(f"/proc/{self.pid}").exists()


def until(condition: Callable[[], bool], timeout: float = 10.0) -> None:
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_the_exit_code_is_that_of_the_command(tmp_path: Path) -> None:
    assert Delayed(tmp_path / "log", 0.1).process.wait(10.0) == 7


def test_a_command_that_a_signal_ends_or_that_is_not_there(tmp_path: Path) -> None:
    delayed = Delayed(tmp_path / "log", 30.0)
    os.kill(delayed.pid, signal.SIGKILL)
    assert delayed.process.wait(10.0) == 128 + signal.SIGKILL
    prefix = (launch_prefix({}, DELAY) or "").split()
    done = subprocess.run([*prefix, "/no/such/program"], stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (127, "cannot start /no/such/program: No such file or directory\n")


@pytest.mark.parametrize("number", HANDED_ON, ids=lambda number: number.name)
def test_a_signal_of_the_terminal_is_handed_on_late_and_once(tmp_path: Path, number: signal.Signals) -> None:
    delayed = Delayed(tmp_path / "log", 1.5)
    assert delayed.session == delayed.pid  # no terminal reaches it
    begin = time.monotonic()
    os.killpg(delayed.process.pid, number)
    time.sleep(0.1)
    os.killpg(delayed.process.pid, number)  # an impatient hand
    until(lambda: bool(delayed.signals()))
    os.killpg(delayed.process.pid, number)
    assert delayed.process.wait(10.0) == 7
    ((got, arrived),) = delayed.signals()
    assert got == HANDED_ON[number]
    assert DELAY <= arrived - begin < DELAY + 1.0


def test_another_signal_afterwards_is_handed_on_at_once(tmp_path: Path) -> None:
    delayed = Delayed(tmp_path / "log", 1.5)
    delayed.process.send_signal(signal.SIGINT)
    until(lambda: bool(delayed.signals()))
    begin = time.monotonic()
    delayed.process.send_signal(signal.SIGTERM)
    assert delayed.process.wait(10.0) == 7
    (_, (number, arrived)) = delayed.signals()
    assert number == signal.SIGTERM
    assert arrived - begin < DELAY


def test_a_hangup_that_is_ignored_stays_so(tmp_path: Path) -> None:
    delayed = Delayed(tmp_path / "log", 1.0, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    delayed.process.send_signal(signal.SIGHUP)
    assert delayed.process.wait(10.0) == 7
    assert not delayed.signals()


def test_an_interrupt_is_heard_in_a_background_job(tmp_path: Path) -> None:
    delayed = Delayed(tmp_path / "log", 1.0, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
    delayed.process.send_signal(signal.SIGINT)
    delayed.process.wait(10.0)
    assert [number for number, _ in delayed.signals()] == [signal.SIGINT]


def test_when_it_is_killed_the_command_is_told_to_end(tmp_path: Path) -> None:
    delayed = Delayed(tmp_path / "log", 1.0)
    delayed.process.kill()
    until(lambda: not delayed.runs)
    assert [number for number, _ in delayed.signals()] == [signal.SIGTERM]


def test_when_who_started_it_is_killed_the_command_is_told_to_end_late(tmp_path: Path) -> None:
    log = tmp_path / "log"
    prefix = launch_prefix({}, DELAY) or ""
    program = f"import subprocess; subprocess.run({[*prefix.split(), sys.executable, '-c', COMMAND, '1.5']!r})"
    with log.open("wb") as output:
        starter = subprocess.Popen([sys.executable, "-c", program], stdout=output)
    until(lambda: "\n" in log.read_text())
    begin = time.monotonic()
    starter.kill()
    starter.wait()
    until(lambda: log.read_text().count("\n") == 2)
    number, arrived = log.read_text().splitlines()[1].split()
    assert int(number) == signal.SIGTERM
    assert DELAY <= float(arrived) - begin < DELAY + 1.0


def test_a_debugger_takes_its_place() -> None:
    assert launch_prefix({"launch-prefix": "gdb -ex run --args"}, DELAY) is None
