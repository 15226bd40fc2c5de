"""policy_node over DDS with a policy that misbehaves on request: whatever happens, the robot stands still in time."""

import re
import signal
import time
from collections.abc import Iterator

import pytest

pytest.importorskip("rclpy")

from bench import Bench, Process, assert_rate
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import TwistStamped
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter

from mobile_vla_ros.policy_node.diagnostics import values_of
from mobile_vla_ros.stamps import seconds

pytestmark = pytest.mark.e2e

DEADLINE = 0.5  # s
SAME_INSTRUCTION_TIMEOUT = 5.0  # s, the node's default
TRANSPORT = 0.15  # s that a zero at once may take to arrive on a busy machine
CONTROL_HZ, SLOW_HZ = 20.0, 10.0
DT = 0.2  # s, of the policy
NODE = "obedient_policy_node.py"


@pytest.fixture(scope="module")
def node(shared_bench: Bench) -> Process:
    """One node for all tests that leave it alive."""
    return shared_bench.start(NODE, "with-torch")


@pytest.fixture
def camera(shared_bench: Bench, node: Process) -> Iterator[Process]:
    with shared_bench.start("camera.py", "rgb8") as camera:
        shared_bench.until(lambda: bool(shared_bench.commands))
        shared_bench.as_new()  # whatever the test before has left
        shared_bench.until_ready()
        yield camera
    node.check()


def fault_time(bench: Bench, node: Process, instruction: str) -> float:
    """Give an instruction that makes the policy go wrong; monotonic s at which it says that it did."""
    before = node.output.count("fault ")
    bench.instruct(instruction)
    bench.until(lambda: node.output.count("fault ") > before)
    return float(re.findall(r"fault ([\d.]+)", node.output)[-1])


def test_a_killed_camera_stops_the_robot_in_time_and_for_good(shared_bench: Bench, camera: Process) -> None:
    shared_bench.instruct("drive")
    shared_bench.until_driving()
    stop_time = shared_bench.zero_after(camera.kill())
    print(f"zero {stop_time:.3f} s after the camera was killed")
    assert stop_time <= DEADLINE
    assert shared_bench.statuses[-1][1].startswith("stopped: camera: no usable frame for")


def test_a_camera_that_comes_back_is_followed_again(shared_bench: Bench, camera: Process) -> None:
    shared_bench.instruct("drive")
    shared_bench.until_driving()
    assert shared_bench.zero_after(camera.kill(), watch=1.0) <= DEADLINE
    with shared_bench.start("camera.py", "rgb8"):
        shared_bench.until_driving()


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("raise", "stopped: policy: RuntimeError: out of memory"),
        ("nan", "stopped: policy: velocity is not finite"),
        ("far", "stopped: policy: linear_x 0.700 is out of the policy's own range -0.6 to 0.6"),
    ],
)
def test_a_policy_that_fails_stops_the_robot_until_an_instruction_is_sent_anew(
    shared_bench: Bench, node: Process, camera: Process, fault: str, reason: str
) -> None:
    stop_time = shared_bench.zero_after(fault_time(shared_bench, node, fault))
    print(f"zero {stop_time:.3f} s after the fault {fault!r}")
    assert stop_time <= DEADLINE
    assert shared_bench.statuses[-1][1] == reason
    assert reason.removeprefix("stopped: ") in node.output
    shared_bench.instruct("drive")
    shared_bench.until_driving()


@pytest.mark.parametrize("kind", ["sleep", "compute"])
def test_commands_keep_their_rate_while_a_policy_takes_two_seconds_a_step(
    shared_bench: Bench, camera: Process, kind: str
) -> None:
    shared_bench.instruct(kind)
    begin = len(shared_bench.commands)
    time.sleep(5.0)
    arrived = [command[0] for command in shared_bench.commands[begin:]]
    assert_rate(arrived, CONTROL_HZ)
    assert all((v, w) == (0.0, 0.0) for _, v, w in shared_bench.commands[begin:])
    assert any("policy" in text for said, text in shared_bench.statuses if said > arrived[0])


def test_the_pace_of_the_policy_is_published(shared_bench: Bench, camera: Process) -> None:
    shared_bench.instruct("drive")
    shared_bench.until_driving()
    begin = len(shared_bench.diagnostics)
    shared_bench.until(lambda: any("rate (Hz)" in values_of(status) for status in shared_bench.diagnostics[begin:]))
    status = next(status for status in shared_bench.diagnostics[begin:] if "rate (Hz)" in values_of(status))
    values = values_of(status)
    assert status.name.endswith("policy_node: policy")
    assert values["policy"] == "obedient"
    assert float(values["rate (Hz)"]) > 0.0
    assert float(values["step p50 (ms)"]) <= float(values["step p95 (ms)"]) <= float(values["step p99 (ms)"])
    assert float(values["frame to answer p50 (ms)"]) > 0.0


def test_a_frozen_camera_stops_the_robot_until_a_picture_differs(
    shared_bench: Bench, node: Process, camera: Process
) -> None:
    shared_bench.instruct("drive")
    shared_bench.until_driving()
    camera.kill()
    with shared_bench.start("camera.py", "frozen"):
        shared_bench.until_status("stopped: camera: the picture is frozen")
        shared_bench.assert_still()
    with shared_bench.start("camera.py", "rgb8"):
        shared_bench.until_driving()


def test_disarming_ramps_to_zero_and_arming_goes_on(shared_bench: Bench, camera: Process) -> None:
    shared_bench.instruct("drive")
    shared_bench.until_driving()
    begin = len(shared_bench.commands)
    assert shared_bench.trigger("disarm") == ""
    shared_bench.until_status("disarmed: disarmed by request")
    speeds = [v for _, v, _ in shared_bench.commands[begin:]]
    assert any(0.05 < v < 0.35 for v in speeds)  # a ramp
    shared_bench.assert_still()
    assert shared_bench.trigger("arm") == ""
    shared_bench.until_driving()


@pytest.mark.parametrize("way", ["service", "topic"])
def test_an_emergency_stop_is_zero_at_once_and_latches(shared_bench: Bench, camera: Process, way: str) -> None:
    shared_bench.instruct("drive")
    shared_bench.until_driving()
    if way == "service":
        shared_bench.connect("stop")
        begin = time.monotonic()
        shared_bench.trigger("stop")
        reason = "by request"
    else:
        begin = time.monotonic()
        shared_bench.press_emergency_stop(True)
        reason = "pressed"
    assert shared_bench.zero_after(begin, watch=1.0) <= DEADLINE
    shared_bench.until_status(f"stopped: emergency stop: {reason}")
    assert shared_bench.trigger("arm") == f"emergency stop ({reason}): reset it first"
    if way == "topic":
        assert shared_bench.trigger("reset") == "the emergency stop is still pressed"
        shared_bench.press_emergency_stop(False)
        shared_bench.until(lambda: shared_bench.trigger("reset") == "")
    else:
        assert shared_bench.trigger("reset") == ""
    shared_bench.until_status("disarmed: not armed since the emergency stop was reset")
    assert shared_bench.trigger("arm") == ""
    shared_bench.until_status("waiting: no instruction")  # arming alone does not resume
    shared_bench.instruct("drive")
    shared_bench.until_driving()


def test_what_shapes_motion_changes_only_while_disarmed(shared_bench: Bench, camera: Process) -> None:
    shared_bench.instruct("drive")
    shared_bench.until_driving()
    assert "only while the robot is disarmed and stands" in set_parameter(shared_bench, "limits.linear_x_max", 0.2)
    assert "read-only" in set_parameter(shared_bench, "control_hz", 30.0)
    shared_bench.trigger("disarm")
    shared_bench.until_status("disarmed")
    assert "loosens the policy's 0.5" in set_parameter(shared_bench, "limits.linear_x_max", 0.6)
    assert "is above stop_threshold" in set_parameter(shared_bench, "stop_release", 0.9)
    assert set_parameter(shared_bench, "limits.linear_x_max", 0.2) == ""
    shared_bench.trigger("arm")
    begin = len(shared_bench.commands)
    shared_bench.until(lambda: shared_bench.commands[-1][1] == pytest.approx(0.2))
    time.sleep(0.5)
    assert max(v for _, v, _ in shared_bench.commands[begin:]) == pytest.approx(0.2)
    shared_bench.trigger("disarm")
    shared_bench.until_status("disarmed")
    assert set_parameter(shared_bench, "limits.linear_x_max", 0.5) == ""
    shared_bench.trigger("arm")
    shared_bench.until_driving()


def set_parameter(bench: Bench, name: str, value: float) -> str:
    """Why it was refused; empty if it was not."""
    parameter = Parameter(name, value=value).to_parameter_msg()
    request = SetParameters.Request(parameters=[parameter])
    (result,) = bench.call(SetParameters, "policy_node/set_parameters", request).results
    assert result.successful == (not result.reason)
    return str(result.reason)


def test_an_instruction_that_is_too_long_stops_the_robot(shared_bench: Bench, camera: Process) -> None:
    shared_bench.instruct("drive")
    shared_bench.until_driving()
    shared_bench.publish_instruction("drive " * 200)
    shared_bench.until_status("stopped: instruction of 1199 characters refused")
    shared_bench.assert_still()


@pytest.mark.parametrize("text", ["...", "drive \x1b[2J", "123"])
def test_an_instruction_that_is_none_stops_the_robot(shared_bench: Bench, camera: Process, text: str) -> None:
    shared_bench.instruct("drive")
    shared_bench.until_driving()
    begin = time.monotonic()
    shared_bench.publish_instruction(text)
    assert shared_bench.zero_after(begin) <= TRANSPORT
    assert shared_bench.statuses[-1][1].startswith(f"stopped: instruction {text!r} refused: it has ")


@pytest.mark.parametrize(
    "text",
    ["Don't move!", "멈춰 주세요", "止まって", "停下", "別動", "Stehen bleiben!", "Arrête-toi !", "¡Detente!"],
)
def test_a_sentence_that_means_stop_stops_the_robot_in_any_language(
    shared_bench: Bench, camera: Process, text: str
) -> None:
    shared_bench.instruct("drive")
    shared_bench.until_driving()
    begin = time.monotonic()
    shared_bench.publish_instruction(text)
    assert shared_bench.zero_after(begin) <= TRANSPORT
    assert shared_bench.statuses[-1][1] == f"waiting: stopped by the instruction {text!r}"
    shared_bench.instruct("drive")  # the same words as before go on
    shared_bench.until_driving()


@pytest.mark.parametrize("period", [0.1, 1.0])
def test_a_sentence_that_is_repeated_is_followed_once(shared_bench: Bench, camera: Process, period: float) -> None:
    shared_bench.instruct("done")  # drives, and is done after some steps
    begin = time.monotonic()
    timer = shared_bench.node.create_timer(period, lambda: shared_bench.publish_instruction("done"))
    try:
        shared_bench.until_driving()
        shared_bench.until_status("done")
        done = time.monotonic()
        shared_bench.assert_still(watch=7.0)
    finally:
        shared_bench.node.destroy_timer(timer)
    said = [text for time, text in shared_bench.statuses if time >= done]
    assert all(text.startswith("done") for text in said)
    assert said[-1:] == [] or said[-1] == "done: the same words are a new task after 5 s without them"
    assert not any("new instruction" in text for time, text in shared_bench.statuses if time >= begin)
    time.sleep(SAME_INSTRUCTION_TIMEOUT + 0.5)
    shared_bench.instruct("done")
    shared_bench.until_driving()


def test_a_pace_that_changes_is_logged_and_the_node_lives(shared_bench: Bench, node: Process, camera: Process) -> None:
    slow = "the policy cannot keep the dt"

    def until_told(too_slow: bool, since: int) -> None:
        """Of the lines since then: the tests before this one have made it slow, too."""
        shared_bench.until(
            lambda: any((slow in line) == too_slow for line in node.output[since:].splitlines() if "pace: " in line)
        )

    begin = len(node.output)
    shared_bench.instruct("sleep")
    until_told(True, begin)
    begin = len(node.output)
    shared_bench.instruct("drive")
    until_told(False, begin)
    shared_bench.until_driving()


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("32FC1", "image encoding '32FC1' is not supported"), ("empty", "image is empty")],
)
def test_images_that_cannot_be_used_are_named_and_the_robot_stands_still(
    shared_bench: Bench, node: Process, camera: Process, kind: str, reason: str
) -> None:
    shared_bench.instruct("drive")
    shared_bench.until_driving()
    killed = camera.kill()
    with shared_bench.start("camera.py", kind):
        assert shared_bench.zero_after(killed, watch=1.0) <= DEADLINE
        shared_bench.until(lambda: reason in shared_bench.statuses[-1][1])
        shared_bench.assert_still()
    assert reason in node.output


def test_a_second_node_of_the_same_name_is_refused(shared_bench: Bench, node: Process, camera: Process) -> None:
    second = shared_bench.start(NODE)
    assert second.wait() == 1
    assert "cannot configure: a node named /policy_node is already running: stop it; if" in second.output
    assert "Traceback" not in second.output
    shared_bench.instruct("drive")
    shared_bench.until_driving()


def test_an_answer_has_a_command_of_its_own_beside_those_of_the_timer(bench: Bench) -> None:
    commands: list[float] = []
    causes: list[float] = []
    bench.node.create_subscription(
        TwistStamped, "stamped_cmd_vel", lambda m: commands.append(seconds(m.header.stamp)), 100
    )
    bench.node.create_subscription(
        DiagnosticArray, "policy_node/provenance", lambda m: causes.append(seconds(m.header.stamp)), 100
    )
    bench.start("camera.py", "rgb8")
    bench.start(
        NODE,
        "--ros-args",
        "-r",
        "cmd_vel:=stamped_cmd_vel",
        # Longer periods leave less for the time-outs.
        parameters={
            "enable_stamped_cmd_vel": "true",
            "control_hz": SLOW_HZ,
            "frozen_timeout": 0.8,
            "plan_timeout": 0.6,
        },
    )
    bench.until_ready()
    bench.instruct("drive")
    bench.until_driving()
    begin = commands[-1]
    time.sleep(4.0)
    caused = [stamp for stamp in causes if begin < stamp <= commands[-1]]
    timed = [stamp for stamp in commands if stamp > begin and stamp not in causes]
    assert set(caused) <= set(commands)
    assert_rate(caused, 1.0 / DT, rel=0.2)
    assert_rate(timed, SLOW_HZ)


def test_sigint_while_driving_ends_with_a_zero(bench: Bench) -> None:
    bench.start("camera.py", "jpeg")
    parameters = {"image_transport": "compressed", "enable_stamped_cmd_vel": "true", "limits.linear_x_max": 0.3}
    node = bench.start(NODE, "--ros-args", "-r", "cmd_vel:=stamped_cmd_vel", parameters=parameters)
    bench.until_ready()
    bench.instruct("drive")
    bench.until(lambda: bench.commands[-1][1] > 0.299)
    node.send(signal.SIGINT)
    assert node.wait(10.0) == 0
    time.sleep(0.5)
    assert bench.commands[-1][1:] == (0.0, 0.0)
    assert 0.299 < max(v for _, v, _ in bench.commands) <= 0.3  # the tightened limit
    assert "Traceback" not in node.output


@pytest.mark.parametrize(
    ("fault", "reason"),
    [("hang", "stopped: policy: no answer for"), ("die", "stopped: policy: its worker has died")],
)
def test_a_worker_that_is_gone_stops_the_robot_in_time_and_for_good(bench: Bench, fault: str, reason: str) -> None:
    bench.start("camera.py", "rgb8")
    node = bench.start(NODE)
    bench.until_ready()
    stop_time = bench.zero_after(fault_time(bench, node, fault))
    print(f"zero {stop_time:.3f} s after the worker's fault {fault!r}")
    assert stop_time <= DEADLINE
    bench.until_status(reason)
    node.send(signal.SIGTERM)  # a stuck worker does not hold the process back
    assert node.wait(10.0) == 0
    assert bench.commands[-1][1:] == (0.0, 0.0)
