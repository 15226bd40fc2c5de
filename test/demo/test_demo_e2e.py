"""The demonstration as a person starts it: real nodes, real DDS, the shipped policy."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]


@contextmanager
def demo(out: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "mobile_vla_ros.demo", "--out", str(out)]
    process = subprocess.Popen(
        [*command, "--instruction", "turn left"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=30)


def children(pid: int) -> dict[str, int]:
    """Process ids of the nodes by their names."""
    result = {}
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        arguments = Path(f"/proc/{child}/cmdline").read_text().split("\0")
        names = [argument for argument in arguments if argument.startswith("mobile_vla_ros.")]
        if names:
            result[names[0].removeprefix("mobile_vla_ros.")] = int(child)
    return result


def wait_until_driving(process: subprocess.Popen[str]) -> dict[str, int]:
    """Wait until the instruction is given; the nodes."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == "turn left":
            nodes = children(process.pid)
            assert set(nodes) == {"sim_robot", "policy_node"}
            return nodes
    pytest.fail("the instruction was never given")


def assert_gone(nodes: dict[str, int]) -> None:
    assert not [name for name, pid in nodes.items() if Path(f"/proc/{pid}").exists()]


def test_the_outcome_is_told_and_filmed(tmp_path: Path) -> None:
    with demo(tmp_path) as process:
        nodes = wait_until_driving(process)
        output, _ = process.communicate(timeout=200)
    assert process.returncode == (0 if "did as told" in output.split("what the robot did")[1] else 1), output
    assert_gone(nodes)
    files = {file.name for file in tmp_path.iterdir()}
    assert files == {"run.mp4", "run.png", "path.png", "sim_robot.log", "policy_node.log"}
    with av.open(str(tmp_path / "run.mp4")) as video:
        assert sum(1 for _ in video.decode(video=0)) > 10


def test_a_node_that_dies_is_named(tmp_path: Path) -> None:
    with demo(tmp_path) as process:
        nodes = wait_until_driving(process)
        os.kill(nodes["policy_node"], signal.SIGKILL)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "error: policy_node ended with exit code -9" in output
    assert "Traceback" not in output
    assert_gone(nodes)


def test_ctrl_c_ends_everything(tmp_path: Path) -> None:
    with demo(tmp_path) as process:
        nodes = wait_until_driving(process)
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)  # impatience changes nothing
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in output
    assert_gone(nodes)
