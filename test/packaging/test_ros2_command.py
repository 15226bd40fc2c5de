"""The node under `ros2 launch`, and what a person does to it with the `ros2` command; where these are."""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("ros2launch", reason="the ros2 command comes with a ROS distribution, not as a wheel")
pytest.importorskip("ros2lifecycle")
if shutil.which("ros2") is None:
    pytest.skip("no command ros2 on the PATH", allow_module_level=True)

from ament_index_python import PackageNotFoundError, get_package_prefix
from geometry_msgs.msg import Twist

from mobile_vla_ros.own_node import OwnNode

try:
    get_package_prefix("mobile_vla_ros")
except PackageNotFoundError:
    pytest.skip("mobile_vla_ros is not in AMENT_PREFIX_PATH: source its workspace", allow_module_level=True)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

POLICY = Path(__file__).parents[2] / "policies" / "sim_small"
NODE = "/r1/policy_node"
PATIENCE = 240.0  # s: a machine that does much else takes long to import torch


def ros2(*words: str) -> str:
    """What a command says, good or bad."""
    done = subprocess.run(
        ["ros2", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=PATIENCE
    )
    return done.stdout


@pytest.fixture
def launch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Launch a file with arguments, in a domain of its own."""
    monkeypatch.setenv("ROS_DOMAIN_ID", "97")
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    monkeypatch.setenv("ROS_HOME", str(tmp_path))
    processes = []

    def start(*words: str) -> subprocess.Popen[bytes]:
        processes.append(_launch(*words))
        return processes[-1]

    yield start
    for process in processes:
        if group_lives(process):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _launch(*words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["ros2", "launch", "mobile_vla_ros", *words],
        start_new_session=True,
        # A shell's background jobs, of which this may be one, ignore SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def group_lives(process: subprocess.Popen[bytes]) -> bool:
    process.poll()
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return False
    return True


def end(process: subprocess.Popen[bytes]) -> None:
    """As Ctrl-C does; nothing of it may be left."""
    process.send_signal(signal.SIGINT)
    process.wait(60.0)
    assert not group_lives(process)


def until(condition: Callable[[], bool]) -> None:
    begin = time.monotonic()
    while not condition():
        assert time.monotonic() - begin < PATIENCE


def state(wanted: str) -> bool:
    return ros2("lifecycle", "get", "--no-daemon", "--spin-time", "3", NODE).startswith(wanted)


def change(transition: str) -> None:
    assert "Transitioning successful" in ros2("lifecycle", "set", "--no-daemon", "--spin-time", "3", NODE, transition)


def call(service: str) -> tuple[bool, str]:
    said = ros2("service", "call", f"{NODE}/{service}", "std_srvs/srv/Trigger")
    found = re.search(r"Trigger_Response\(success=(True|False), message='(.*)'\)", said)
    assert found is not None, said
    return found[1] == "True", found[2]


def set_parameter(name: str, value: str) -> str:
    return ros2("param", "set", "--no-daemon", "--spin-time", "3", NODE, name, value)


def test_a_whole_round(launch: Callable[..., subprocess.Popen[bytes]]) -> None:
    launched = launch("mobile_vla.launch.py", f"policy:={POLICY}", "autostart:=false", "namespace:=r1")
    until(lambda: state("unconfigured"))
    assert call("arm") == (False, "the node is unconfigured, expected active")

    change("configure")
    assert state("inactive")
    assert "Set parameter successful" in set_parameter("camera_timeout", "0.2")
    assert "out of range" in set_parameter("camera_timeout", "5.0")
    assert "may only be tightened" in set_parameter("limits.linear_x_max", "0.9")
    assert "read-only" in set_parameter("device", "cuda")

    change("activate")
    assert call("arm") == (False, "nobody subscribes to /r1/cmd_vel")
    base = OwnNode("base", 97)
    base.ros.create_subscription(Twist, "/r1/cmd_vel", lambda _: None, 1)
    until(lambda: call("arm") == (True, ""))
    assert "only while the robot is disarmed and stands" in set_parameter("camera_timeout", "0.3")
    assert call("disarm") == (True, "")
    assert call("stop") == (True, "")
    assert call("arm") == (False, "emergency stop (by request): reset it first")
    assert call("reset") == (True, "")

    base.close()
    change("deactivate")
    change("cleanup")
    assert state("unconfigured")
    change("shutdown")
    assert state("finalized")

    end(launched)


def test_the_simulated_robot_turns_when_it_is_told_to(launch: Callable[..., subprocess.Popen[bytes]]) -> None:
    def latched(topic: str) -> str:
        """What is said last on a topic of the node."""
        quality = ("--qos-reliability", "reliable", "--qos-durability", "transient_local")
        return ros2("topic", "echo", "--once", "--no-daemon", "--timeout", "10", *quality, f"{NODE}/{topic}")

    launched = launch("sim.launch.py", "namespace:=r1")
    until(lambda: "disarmed" in latched("status"))
    assert call("arm") == (True, "")
    said = ("/r1/instruction", "std_msgs/msg/String", "{data: turn left}")
    assert "publishing #1" in ros2(
        "topic", "pub", "--once", "--keep-alive", "2", "--wait-matching-subscriptions", "1", *said
    )
    until(lambda: "turn left" in latched("active_instruction"))
    until(lambda: "done" in latched("status"))
    assert call("disarm") == (True, "")
    end(launched)
