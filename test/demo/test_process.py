"""Child processes: how they end, and what is said when they end by themselves."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from mobile_vla_ros.bringup import process
from mobile_vla_ros.bringup.errors import BringUpError
from mobile_vla_ros.bringup.process import NodeProcess, node_process

POLITE = """
import time
try:
    print("ready", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    print("bye")
"""
STUBBORN = """
import signal, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(60)
"""


def wait_for(log: Path, text: str) -> None:
    for _ in range(600):
        if log.exists() and text in log.read_text():
            return
        time.sleep(0.05)
    pytest.fail(f"{text!r} never appeared in {log}")


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def node(code: str, log: Path) -> AbstractContextManager[NodeProcess]:
    return node_process("node", [sys.executable, "-c", code], dict(os.environ), log)


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """Also where the tests run in the background, with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_sigint_ends_a_node(tmp_path: Path) -> None:
    with node(POLITE, tmp_path / "log") as running:
        wait_for(tmp_path / "log", "ready")
        running.check()
    assert "bye" in (tmp_path / "log").read_text()
    assert not alive(running.pid)


def test_a_node_that_ignores_sigint_is_ended_and_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "GRACE", ((signal.SIGINT, 0.2), (signal.SIGTERM, 5.0)))
    with (
        pytest.raises(BringUpError, match="node went on after SIGINT and had to be ended with SIGTERM"),
        node(STUBBORN, tmp_path / "log") as running,
    ):
        wait_for(tmp_path / "log", "ready")
    assert not alive(running.pid)


def test_a_dead_node_is_named_with_its_exit_code_and_the_end_of_its_log(tmp_path: Path) -> None:
    code = "for n in range(100):\n    print('line', n)\nraise SystemExit(3)"
    with node(code, tmp_path / "log") as running:
        os.waitid(os.P_PID, running.pid, os.WEXITED | os.WNOWAIT)
        with pytest.raises(BringUpError, match=r"(?s)node ended with exit code 3.*line 99") as caught:
            running.check()
    assert "line 50" not in str(caught.value)


def test_an_error_in_between_ends_the_node(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), node(POLITE, tmp_path / "log") as running:
        raise KeyboardInterrupt
    assert not alive(running.pid)


def test_nothing_is_started_where_sigint_is_ignored(tmp_path: Path) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with pytest.raises(BringUpError, match="SIGINT is ignored"), node(POLITE, tmp_path / "log"):
        pass
    assert not (tmp_path / "log").exists()


def test_a_missing_policy_is_one_message(tmp_path: Path) -> None:
    arguments = [
        sys.executable,
        "-m",
        "mobile_vla_ros.demo",
        "--policy",
        str(tmp_path),
        "--out",
        str(tmp_path / "out"),
    ]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert f"error: {tmp_path} is not a policy directory" in done.stderr
    assert not (tmp_path / "out").exists()
