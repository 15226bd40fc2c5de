"""The doctor on real DDS, with a camera, a base and a simulator's clock that are not real; and its command line."""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

pytest.importorskip("rclpy")

import numpy as np
import rclpy
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Twist, TwistStamped
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image
from std_msgs.msg import String

from mobile_vla_ros.bringup.domain import free_domain
from mobile_vla_ros.cli.doctor import doctor
from mobile_vla_ros.doctor.observe import observe
from mobile_vla_ros.doctor.policy import Wants
from mobile_vla_ros.doctor.probe import Package
from mobile_vla_ros.doctor.software import PACKAGES
from mobile_vla_ros.doctor.topics import IMAGE, TWIST, Endpoint
from mobile_vla_ros.images import to_image

pytestmark = pytest.mark.e2e

SECONDS = 4.0  # to find each other, and for some frames
SHIPPED = Path(__file__).parents[2] / "policies" / "sim_small"


class FakeRobot:
    """A best-effort camera at 20 Hz whose stamps are 0.1 s old, and a base that listens to Twist."""

    def __init__(self, context: Context, sim_time: bool) -> None:
        self.node = rclpy.create_node("robot", context=context, enable_rosout=False)
        best_effort = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        self._camera = self.node.create_publisher(Image, "camera/image_raw", best_effort)
        self._clock = self.node.create_publisher(Clock, "/clock", 1) if sim_time else None
        self.node.create_subscription(Twist, "cmd_vel", lambda _: None, 1)
        self.node.declare_parameter("cmd_vel_timeout", 1.0)
        self._begin = time.monotonic()
        self.node.create_timer(0.05, self._publish)
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except ExternalShutdownException:
            return

    def _publish(self) -> None:
        now = time.time()
        if self._clock is not None:
            now = 1000.0 + time.monotonic() - self._begin
            self._clock.publish(Clock(clock=stamp(now)))
        self._camera.publish(to_image(np.zeros((60, 80, 3), np.uint8), stamp(now - 0.1), "camera"))

    def close(self) -> None:
        self._executor.shutdown()
        self._thread.join(5.0)
        self.node.destroy_node()


def stamp(seconds: float) -> Any:
    return Time(sec=int(seconds), nanosec=int(seconds % 1.0 * 1e9))


@pytest.fixture
def robot(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeRobot]:
    domain = free_domain()
    monkeypatch.setenv("ROS_DOMAIN_ID", str(domain))
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    context = Context()
    rclpy.init(context=context, domain_id=domain, signal_handler_options=SignalHandlerOptions.NO)
    fake = FakeRobot(context, getattr(request, "param", False))
    try:
        yield fake
    finally:
        fake.close()
        rclpy.shutdown(context=context)


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Importing everything takes a minute on a busy machine; test_doctor_checks probes what is light."""
    facts = {"torch": {"cuda": False, "cuda_build": None}, "onnxruntime": {"providers": ["CPUExecutionProvider"]}}
    found = {name: Package("99.0", facts=facts.get(name, {})) for name in PACKAGES}
    found |= {"numpy": Package("2.2.6"), "transformers": Package("5.20.2")}
    monkeypatch.setattr("mobile_vla_ros.doctor.examination.probe", lambda names: {name: found[name] for name in names})


def call(*arguments: str) -> Result:
    app = typer.Typer()
    app.command()(doctor)
    return CliRunner().invoke(app, list(arguments))


def test_a_robot_is_seen_as_it_is(robot: FakeRobot) -> None:
    seen = observe("/", ["camera/image_raw"], False, "cmd_vel", "emergency_stop", "instruction", False, SECONDS)
    (camera,) = seen.cameras
    assert camera.publishers == (Endpoint("/robot", IMAGE, False, False),)
    assert len(camera.frames) > 10
    ages = [frame.age for frame in camera.frames if frame.age is not None]
    assert len(ages) == len(camera.frames)
    assert 0.09 < min(ages) < 0.5
    assert {(frame.layout, frame.size, frame.problem) for frame in camera.frames} == {("rgb8, 80 x 60", 14400, "")}
    assert seen.command_listeners == (Endpoint("/robot", TWIST, True, False),)
    assert seen.command_publishers == ()
    assert seen.timeouts == {"/robot": ("cmd_vel_timeout", 1.0)}
    assert (seen.instruction, seen.speakers, seen.sentences) == ("/instruction", (), ())
    assert (seen.emergency_stop, seen.emergency_stop_publishers) == ("/emergency_stop", ())
    assert seen.clocks == 0


def test_who_publishes_instructions_is_watched(robot: FakeRobot) -> None:
    stays = robot.node.create_publisher(String, "instruction", 1)
    goes: list[Publisher] = []

    def come() -> None:
        goes.append(robot.node.create_publisher(String, "instruction", 1))
        stays.publish(String(data="go left"))

    timers = [threading.Timer(2.5, come), threading.Timer(3.2, lambda: robot.node.destroy_publisher(goes[0]))]
    for timer in timers:
        timer.start()
    seen = observe("/", [], False, "cmd_vel", "emergency_stop", "instruction", False, SECONDS)
    assert sorted((one.came, one.went) for one in seen.speakers) == [(False, False), (True, True)]
    assert seen.sentences == ("go left",)


@pytest.mark.parametrize("robot", [True], indirect=True)
def test_ages_are_counted_on_the_simulators_clock(robot: FakeRobot) -> None:
    seen = observe("/", ["camera/image_raw"], False, "cmd_vel", "emergency_stop", "instruction", True, SECONDS)
    assert seen.clocks == 1
    assert 1000.0 < seen.now < 1000.0 + 600.0
    age = seen.cameras[0].frames[-1].age
    assert age is not None
    assert 0.05 < age < 0.5


def test_the_command_says_what_is_wrong_and_ends_with_1(robot: FakeRobot) -> None:
    robot.node.create_subscription(TwistStamped, "stamped_cmd_vel", lambda _: None, 1)
    done = call("--json", "--cmd-vel", "stamped_cmd_vel", "--seconds", str(SECONDS))
    found = {finding["check"]: finding for finding in json.loads(done.stdout)}
    assert found["/stamped_cmd_vel"]["state"] == "error"
    assert "enable_stamped_cmd_vel" in found["/stamped_cmd_vel"]["advice"]
    assert found["camera /camera/image_raw: content"] == {
        "check": "camera /camera/image_raw: content",
        "state": "ok",
        "found": "rgb8, 80 x 60",
        "advice": "",
    }
    assert (found["time-out of /robot"]["state"], found["time-out of /robot"]["found"]) == (
        "warning",
        "cmd_vel_timeout is 1 s",
    )
    assert "--keep-alive 2" in found["/instruction"]["advice"]
    assert done.exit_code == 1


def test_each_camera_of_the_policy_is_looked_at(robot: FakeRobot, monkeypatch: pytest.MonkeyPatch) -> None:
    wants = Wants(0.2, ("front", "hand"))
    monkeypatch.setattr("mobile_vla_ros.doctor.examination.check_policy", lambda *_: ([], wants))
    done = call("two_cameras", "--json", "--seconds", str(SECONDS))
    found = {finding["check"]: finding["found"] for finding in json.loads(done.stdout)}
    assert found["camera /camera/front/image_raw"] == found["camera /camera/hand/image_raw"] == "nobody publishes it"
    done = call("two_cameras", "--json", "--image", "camera/image_raw", "--image", "other", "--seconds", str(SECONDS))
    found = {finding["check"]: finding["found"] for finding in json.loads(done.stdout)}
    assert found["camera /camera/image_raw: content"] == "rgb8, 80 x 60"
    assert found["camera /other"] == "nobody publishes it"


def test_the_shipped_policy_passes_where_no_topics_are_watched() -> None:
    done = call(str(SHIPPED), "--no-topics", "--json")
    findings = json.loads(done.stdout)
    assert not [finding for finding in findings if finding["state"] == "error"]
    (policy,) = (finding for finding in findings if finding["check"] == f"policy {SHIPPED}")
    assert "golden vectors reproduced" in policy["found"]
    assert done.exit_code == 0


def test_a_policy_that_is_not_there_is_an_error() -> None:
    done = call("/nowhere", "--no-topics", "--json")
    (finding,) = (finding for finding in json.loads(done.stdout) if finding["check"] == "policy /nowhere")
    assert finding["state"] == "error"
    assert "does not exist" in finding["found"]
    assert done.exit_code == 1
