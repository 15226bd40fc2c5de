"""What holds for all tests.

Property tests draw the same examples each time. A test over DDS that fails while the machine let nobody work for a
moment is tried again: its bounds are those of a robot, whose cores no host takes away. That is measured, by a process
that only sleeps; a failure on a calm machine stands.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from mobile_vla_ros.bringup.process import let_children_hang_up
from mobile_vla_ros.shared_memory import remove_left_behind

settings.register_profile("steady", derandomize=True, deadline=None, max_examples=100)
settings.load_profile("steady")

AGAIN = 2  # times that such a test is tried again
HELD_UP = 0.05  # s that a process may sleep too long before the machine was held up
PERIOD = 0.01  # s that it sleeps


@pytest.fixture(scope="session", autouse=True)
def _nothing_left_behind() -> None:
    """A run that was killed has left nodes' shared memory, among which others may not hear each other."""
    remove_left_behind()


@pytest.fixture(scope="session", autouse=True)
def _hangups_reach_children() -> None:
    """Tests hang up on nodes."""
    let_children_hang_up()


class MachineHeldUpError(Exception):
    """The cause that a failed test is given."""


class Sleeper:
    """A process that notes when it wakes."""

    def __init__(self, log: Path) -> None:
        self._log = log
        with log.open("wb") as output:
            command = [sys.executable, "-m", "mobile_vla_ros.benchmark.sleeper", str(PERIOD)]
            self._process = subprocess.Popen(command, stdout=output, start_new_session=True)

    def overslept(self, begin: float, end: float) -> float:
        """S by which it overslept most between two times (s, monotonic)."""
        text = self._log.read_text(encoding="utf-8")
        wakes = [float(line) for line in text[: text.rfind("\n") + 1].splitlines()]
        around = [wake for wake in wakes if begin - 1.0 < wake < end + 1.0]
        return max((after - before for before, after in pairwise(around)), default=PERIOD) - PERIOD

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


SLEEPER = pytest.StashKey[Sleeper]()
BEGIN = pytest.StashKey[float]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("e2e"):
            item.add_marker(pytest.mark.flaky(reruns=AGAIN, only_rerun=[MachineHeldUpError.__name__]))


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("e2e"):
        if SLEEPER not in item.config.stash:
            item.config.stash[SLEEPER] = Sleeper(Path(tempfile.mkdtemp()) / "sleeper.log")
        item.stash[BEGIN] = time.monotonic()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[Any]:
    if call.excinfo is not None and BEGIN in item.stash and not call.excinfo.errisinstance(pytest.skip.Exception):
        overslept = item.config.stash[SLEEPER].overslept(item.stash[BEGIN], time.monotonic())
        if overslept > HELD_UP:
            first: BaseException = call.excinfo.value
            while first.__cause__ is not None:
                first = first.__cause__
            first.__cause__ = MachineHeldUpError(f"meanwhile the machine was held up for {overslept:.3f} s")
    return (yield)


def pytest_unconfigure(config: pytest.Config) -> None:
    if SLEEPER in config.stash:
        config.stash[SLEEPER].end()
