"""However a launch ends, the base's last commands are zeros; with stand-ins for the mux and the smoother."""

from __future__ import annotations

import json
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("rclpy")

from bench import FOLDER, Bench, Process
from std_msgs.msg import Bool

from mobile_vla_ros.bringup.delayed_signals import MUX_DELAY, SMOOTHER_DELAY, launch_prefix

pytestmark = pytest.mark.e2e

PARTS = {
    "policy_node": (0.0, "obedient_policy_node.py", "--ros-args", "-r", "cmd_vel:=cmd_vel_vla"),
    "mux": (MUX_DELAY, "chain.py", "mux", "--ros-args", "-r", "cmd_vel_out:=cmd_vel_mux"),
    "smoother": (
        SMOOTHER_DELAY,
        "chain.py",
        "smoother",
        *("--ros-args", "-r", "cmd_vel:=cmd_vel_mux", "-r", "cmd_vel_smoothed:=cmd_vel"),
    ),
}
# What the launch files start, and what is started in its place.
EXECUTABLES = {
    "mobile_vla_ros/policy_node": f"{FOLDER}/obedient_policy_node.py",
    "twist_mux/twist_mux": f"{FOLDER}/chain.py mux",
    "nav2_velocity_smoother/velocity_smoother": f"{FOLDER}/chain.py smoother",
    "nav2_lifecycle_manager/lifecycle_manager": "-c 'import time; time.sleep(600)'",
}
ROOT = FOLDER.parents[1]
VELOCITY_TIMEOUT, BRAKING = 0.5, 0.2  # s
SLACK = 0.4  # s: periods of the node and of the smoother, DDS, a machine that does much else


class Chain:
    """policy_node, mux and smoother in one or two launches; a camera, and the heartbeat of the emergency stop."""

    def __init__(self, bench: Bench) -> None:
        self._bench, self.pressed = bench, False
        self._launched: list[Process] = []
        self._emergency_stop = bench.node.create_publisher(Bool, "emergency_stop", 1)
        bench.node.create_timer(0.1, lambda: self._emergency_stop.publish(Bool(data=self.pressed)))
        bench.start("camera.py", "rgb8")

    def launch(self, *names: str, kind: str = "interactive", delayed: bool = True) -> Process:
        commands = []
        for delay, script, *arguments in (PARTS[name] for name in names):
            prefix = shlex.split(launch_prefix({}, delay) or "") if delayed else []
            commands.append([*prefix, sys.executable, str(FOLDER / script), *arguments])
        self._launched.append(self._bench.start("launcher.py", kind, json.dumps(commands)))
        return self._launched[-1]

    def launch_file(self, folder: Path, name: str, *arguments: str, kind: str = "interactive") -> Process:
        """Launch a file by the real launch, with stand-ins for what is not ours."""
        index = folder / "share" / "ament_index" / "resource_index" / "packages"
        index.mkdir(parents=True)
        for executable, words in EXECUTABLES.items():
            (index / Path(executable).parent).touch()
            program = folder / "lib" / executable
            program.parent.mkdir(parents=True)
            program.write_text(f'#!/bin/sh\nexec {sys.executable} {words} "$@"\n')
            program.chmod(0o755)
        (folder / "share" / "mobile_vla_ros").mkdir()
        for part in ("launch", "config"):
            (folder / "share" / "mobile_vla_ros" / part).symlink_to(ROOT / part)
        self._launched.append(
            self._bench.start(
                "launch_file.py", kind, folder, ROOT / "launch" / name, "image_transport:=raw", *arguments
            )
        )
        return self._launched[-1]

    def drive(self) -> None:
        self._bench.until_ready()
        self._bench.instruct("drive")
        self._bench.until_driving()

    def end(self, launched: Process, signal_it: Callable[[int], None], number: int) -> float:
        """End a launch; time from then until the last command at the base that is not zero (s)."""
        begin = time.monotonic()
        signal_it(number)
        launched.wait()
        self._bench.until(lambda: not launched.group_runs)
        moving = [arrived for arrived, v, w in self._bench.commands if (v, w) != (0.0, 0.0)]
        print(f"moved for {moving[-1] - begin:.3f} s; last: {[v for _, v, _ in self._bench.commands[-5:]]} m/s")
        return moving[-1] - begin

    def close(self) -> None:
        for launched in self._launched:
            if launched.group_runs:
                launched.send_to_group(signal.SIGKILL)

    def assert_still(self) -> None:
        assert self._bench.commands[-1][1:] == (0.0, 0.0)


@pytest.fixture
def chain(bench: Bench) -> Iterator[Chain]:
    chain = Chain(bench)
    yield chain
    chain.close()


ENDS = pytest.mark.parametrize(
    ("kind", "group", "number"),
    [
        ("interactive", True, signal.SIGINT),  # Ctrl-C
        ("noninteractive", False, signal.SIGINT),  # a systemd unit or a container that is stopped
        ("noninteractive", True, signal.SIGINT),  # Ctrl-C at an attached container: each gets it twice
        ("interactive", True, signal.SIGHUP),  # the terminal closes
        ("interactive", False, signal.SIGTERM),  # launch dies and hands nothing on
    ],
    ids=["ctrl-c", "stopped", "ctrl-c-attached", "hangup", "terminated"],
)


@ENDS
def test_a_launch_ends_with_zeros(chain: Chain, kind: str, group: bool, number: int) -> None:
    launched = chain.launch(*PARTS, kind=kind)
    chain.drive()
    took = chain.end(launched, launched.send_to_group if group else launched.send, number)
    chain.assert_still()
    assert took < BRAKING + SLACK


def test_without_delays_the_base_keeps_its_last_speed(chain: Chain) -> None:
    launched = chain.launch(*PARTS, delayed=False)
    chain.drive()
    chain.end(launched, launched.send_to_group, signal.SIGINT)
    with pytest.raises(AssertionError):
        chain.assert_still()


def test_the_chain_alone_ends_with_zeros_while_the_node_drives_on(chain: Chain) -> None:
    chain.launch("policy_node", kind="noninteractive")
    launched = chain.launch("mux", "smoother")
    chain.drive()
    took = chain.end(launched, launched.send_to_group, signal.SIGINT)
    chain.assert_still()
    assert took < MUX_DELAY + VELOCITY_TIMEOUT + BRAKING + SLACK


def test_a_launch_ends_with_zeros_also_where_the_mux_masks_those_of_the_node(chain: Chain) -> None:
    launched = chain.launch(*PARTS)
    chain.drive()
    chain.pressed = True
    time.sleep(0.15)  # at 10 Hz: the mux has heard it
    took = chain.end(launched, launched.send_to_group, signal.SIGINT)
    chain.assert_still()
    assert took < VELOCITY_TIMEOUT + BRAKING + SLACK


@ENDS
def test_under_the_real_launch(chain: Chain, tmp_path: Path, kind: str, group: bool, number: int) -> None:
    pytest.importorskip("launch_ros", reason="launch comes with a ROS distribution, not as a wheel")
    launched = chain.launch_file(tmp_path, "mobile_vla.launch.py", "safety:=true", kind=kind)
    chain.drive()
    took = chain.end(launched, launched.send_to_group if group else launched.send, number)
    chain.assert_still()
    assert took < BRAKING + SLACK


def test_the_chain_alone_under_the_real_launch(chain: Chain, tmp_path: Path) -> None:
    pytest.importorskip("launch_ros", reason="launch comes with a ROS distribution, not as a wheel")
    chain.launch("policy_node", kind="noninteractive")
    launched = chain.launch_file(tmp_path, "safety.launch.py")
    chain.drive()
    took = chain.end(launched, launched.send_to_group, signal.SIGINT)
    chain.assert_still()
    assert took < MUX_DELAY + VELOCITY_TIMEOUT + BRAKING + SLACK
