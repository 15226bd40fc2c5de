"""How policy_node starts and ends, by itself or under a manager; what is said when it cannot."""

import re
import signal
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("rclpy")

from bench import Bench
from lifecycle_msgs.msg import Transition
from nav_msgs.msg import Odometry
from rclpy.duration import Duration
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.utilities import get_rmw_implementation_identifier as rmw
from std_msgs.msg import String

from mobile_vla_ros.shared_memory import FOLDER

pytestmark = pytest.mark.e2e

NODE = "obedient_policy_node.py"
DEADLINE = 0.5  # s


def test_a_missing_policy_directory_is_one_message(bench: Bench) -> None:
    node = bench.start("-m", "mobile_vla_ros.policy_node", parameters={"policy": "/nowhere/policy"})
    assert node.wait() == 1
    (error,) = [line for line in node.output.splitlines() if "[ERROR]" in line]
    assert "cannot configure: " in error
    assert "/nowhere/policy" in error
    assert "importing torch" not in node.output
    assert "Traceback" not in node.output


def test_an_incomplete_policy_directory_is_one_message_before_torch_is_imported(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    node = bench.start("-m", "mobile_vla_ros.policy_node", parameters={"policy": str(tmp_path)})
    assert node.wait() == 1
    (error,) = [line for line in node.output.splitlines() if "[ERROR]" in line]
    assert f"cannot configure: policy directory {tmp_path} lacks model.safetensors, golden.safetensors, " in error
    assert "importing torch" not in node.output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_starting_ends_it(bench: Bench, number: signal.Signals) -> None:
    # Many short sleeps: a signal that arrives just before a long one is noticed only after it.
    program = (
        "import sys, time; from mobile_vla_ros.robot_node import run; "
        "sys.exit(run(lambda: print('starting', flush=True) or [time.sleep(0.01) for _ in range(6000)]))"
    )
    node = bench.start("-c", program)
    bench.until(lambda: "starting" in node.output)
    node.send(number)
    assert node.wait(10.0) == 130
    assert "Traceback" not in node.output


@pytest.mark.skipif(rmw() != "rmw_fastrtps_cpp", reason="about Fast DDS")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_node_that_ends_leaves_no_shared_memory(bench: Bench, number: signal.Signals) -> None:
    def segments() -> set[str]:
        return {file.name for file in FOLDER.iterdir() if re.match("fast(rtps|dds)_[0-9a-f]{16}", file.name)}

    before = segments()
    node = bench.start(NODE)
    bench.until_ready()
    made = segments() - before
    assert made
    node.send(number)
    assert node.wait(10.0) == 0
    assert not made & segments()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_configuring_ends_it_at_once(bench: Bench, number: signal.Signals) -> None:
    node = bench.start(NODE, "open-after", "/nowhere")
    bench.until(lambda: bench.state() == "configuring")
    node.send(number)
    assert node.wait(10.0) == 0
    assert "Traceback" not in node.output
    assert not bench.commands


def test_services_are_answered_while_it_configures(bench: Bench, tmp_path: Path) -> None:
    opens = tmp_path / "opens"
    bench.start(NODE, "open-after", str(opens), parameters={"autostart": "false"})
    bench.until_status("unconfigured")
    assert bench.state() == "unconfigured"
    done: list[bool] = []
    configuring = threading.Thread(
        target=lambda: done.append(bench.change_state(Transition.TRANSITION_CONFIGURE)), daemon=True
    )
    configuring.start()
    bench.until(lambda: bench.state() == "configuring")
    answers = []
    for _ in range(10):
        begin = time.monotonic()
        assert bench.state() == "configuring"
        assert bench.trigger("arm") != ""
        answers.append(time.monotonic() - begin)
    print(f"get_state and ~/arm while configuring: {max(answers):.3f} s at most, of {len(answers)}")
    bench.until(lambda: any(status.message.startswith("configuring") for status in bench.diagnostics))
    assert not done
    opens.touch()
    configuring.join(30.0)
    assert done == [True]
    assert bench.state() == "inactive"
    assert not bench.commands


def test_it_is_managed(bench: Bench) -> None:
    node = bench.start(NODE, parameters={"autostart": "false"})
    bench.start("camera.py", "rgb8")
    bench.until_status("unconfigured")
    assert not bench.change_state(Transition.TRANSITION_ACTIVATE)
    assert bench.change_state(Transition.TRANSITION_CONFIGURE)
    bench.until_status("inactive")
    assert bench.trigger("arm") == "the node is inactive, expected active"
    assert not bench.commands
    assert bench.change_state(Transition.TRANSITION_ACTIVATE)
    bench.until_ready()
    bench.instruct("drive")
    bench.until_driving()
    assert bench.change_state(Transition.TRANSITION_DEACTIVATE)
    bench.until_status("inactive")
    assert bench.commands[-1][1:] == (0.0, 0.0)  # sent before the silence
    time.sleep(0.3)
    count = len(bench.commands)
    time.sleep(0.5)
    assert len(bench.commands) == count
    assert bench.change_state(Transition.TRANSITION_ACTIVATE)
    bench.until(lambda: len(bench.commands) > count)
    bench.until_status("disarmed: ")  # not armed any more, and without an instruction
    assert bench.change_state(Transition.TRANSITION_DEACTIVATE)
    assert bench.change_state(Transition.TRANSITION_CLEANUP)
    assert bench.state() == "unconfigured"
    assert bench.change_state(Transition.TRANSITION_UNCONFIGURED_SHUTDOWN)
    assert bench.state() == "finalized"
    node.send(signal.SIGINT)
    assert node.wait(10.0) == 0


def test_a_configure_that_fails_is_answered_and_named(bench: Bench) -> None:
    node = bench.start(NODE, "cold", parameters={"autostart": "false"})
    bench.until_status("unconfigured")
    assert not bench.change_state(Transition.TRANSITION_CONFIGURE)
    assert bench.state() == "unconfigured"
    bench.until_status("unconfigured: cannot configure: the policy is too cold")
    assert "[ERROR]" in node.output


def test_it_may_be_armed_as_soon_as_it_is_active(bench: Bench) -> None:
    bench.start(NODE, parameters={"arm_on_activate": "true"})
    bench.start("camera.py", "rgb8")
    bench.until_status("waiting: no instruction")
    bench.instruct("drive")
    bench.until_driving()


def test_qualities_of_service_that_do_not_fit_are_named_once(bench: Bench) -> None:
    node = bench.start(NODE)
    bench.until_status("disarmed")
    lossy = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    bench.node.create_publisher(String, "instruction", lossy)
    error = "topic instruction: there is a publisher whose QoS does not fit (RELIABILITY)"
    bench.until(lambda: error in node.output)
    bench.node.create_publisher(String, "instruction", lossy)
    time.sleep(1.0)
    assert node.output.count(error) == 1


def test_a_publisher_of_instruction_that_comes_and_goes_unheard_is_named(bench: Bench) -> None:
    """As `ros2 topic pub --once` does on a busy machine."""
    node = bench.start(NODE)
    bench.until_status("disarmed")
    bench.instruct("drive")
    warning = "a publisher of instruction came and went without a message: ros2 topic pub --once needs --keep-alive 2"

    def publish(text: str) -> None:
        publisher = bench.node.create_publisher(String, "instruction", 1)
        bench.until(lambda: publisher.get_subscription_count() > 0)
        if text:
            publisher.publish(String(data=text))
            assert publisher.wait_for_all_acked(Duration(seconds=5.0))
        time.sleep(0.2)  # the node, too, has to have discovered it
        bench.node.destroy_publisher(publisher)
        time.sleep(1.0)

    publish("turn")
    assert warning not in node.output
    publish("")
    bench.until(lambda: warning in node.output)
    time.sleep(1.0)
    assert node.output.count(warning) == 1


def test_a_silent_odometry_stops_the_robot(bench: Bench) -> None:
    bench.start(NODE, parameters={"odometry_timeout": 0.3, "arm_on_activate": "true"})
    bench.start("camera.py", "rgb8")
    odometry = bench.node.create_publisher(Odometry, "odom", 1)
    timer = bench.node.create_timer(0.05, lambda: odometry.publish(Odometry()))
    bench.until_status("waiting: no instruction")
    bench.instruct("drive")
    bench.until_driving()
    begin = time.monotonic()
    timer.cancel()
    assert bench.zero_after(begin, watch=1.0) <= DEADLINE
    bench.until_status("stopped: odometry: none for")
