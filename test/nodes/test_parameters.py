"""What policy_node refuses to start with: one message that names the thing, and exit code 1."""

import signal
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import yaml

pytest.importorskip("rclpy")

import rclpy
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy
from still_policy import StillPolicy

from mobile_vla_ros.inference.loading import Loaded
from mobile_vla_ros.policy_node.node import SUCCESS, PolicyNode
from mobile_vla_ros.policy_node.topics import NEWEST, NEWEST_FRAME
from mobile_vla_ros.robot_node import RobotNode, StartError, run
from mobile_vla_ros.share import share_path


class Started(Exception):  # noqa: N818  (the wanted end of a start)
    pass


class StartOnly(PolicyNode):
    """Is configured, and ends."""

    policy: type[StillPolicy] | None = StillPolicy

    def __init__(self) -> None:
        policy = self.policy
        super().__init__(None if policy is None else lambda: Loaded(policy()))
        configured = self.trigger_configure() is SUCCESS
        assert self.close()
        self.destroy_node()
        raise Started if configured else StartError(self._reason)


@pytest.fixture(autouse=True)
def _own_process(alone: None) -> Iterator[None]:
    """As if each test were a process: a domain, signal handlers, no waiting for others."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


def starts(*arguments: str) -> bool:
    try:
        run(StartOnly, ["--ros-args", *arguments, "-p", "autostart:=false"])
    except Started:
        return True
    return False


def refusal(capfd: pytest.CaptureFixture[str], create: type[RobotNode], *arguments: str) -> str:
    assert run(create, ["--ros-args", *arguments, "-p", "autostart:=false"]) == 1
    output = capfd.readouterr()
    assert "Traceback" not in output.out + output.err
    message = output.err.splitlines()[-1]
    assert message.startswith("cannot start: ")
    return message.removeprefix("cannot start: ")


def test_the_shipped_file_is_accepted_and_says_the_defaults() -> None:
    file = share_path("config/policy_node.yaml")
    assert starts("--params-file", str(file))
    written = yaml.safe_load(file.read_text())["/**"]["ros__parameters"]
    rclpy.init(args=[])
    try:
        node = PolicyNode(lambda: Loaded(StillPolicy()))
        assert {name: node.get_parameter(name).value for name in written} == written
        node._autostart.join()  # it declares the limits, which are the policy's own
        own = {name for name in node.get_parameters_by_prefix("") if not name.startswith(("qos_overrides", "limits."))}
        assert own - {*written, "policy", "use_sim_time", "start_type_description_service"} == set()
        assert node.close()
        node.destroy_node()
    finally:
        rclpy.shutdown()


@pytest.mark.parametrize(
    "argument",
    [
        "limits.linear_x_max:=0.3",
        "camera_timeout:=0.2",
        "use_sim_time:=true",
        "threads:=2",
        "qos_overrides./camera/image_raw.subscription.reliability:=reliable",
        "qos_overrides./instruction.subscription.durability:=transient_local",
        "qos_overrides./emergency_stop.subscription.durability:=transient_local",
        "emergency_stop_timeout:=0.3",
        "command_topics:=cmd_vel_mux /r1/cmd_vel",
        "stop_dwell:=1",
        "control_hz:=20",
        "base_limits.linear_x_max:=1",
        "base_limits.linear_x_min:=0",
    ],
)
def test_known_parameters_within_their_ranges_are_accepted(argument: str) -> None:
    assert starts("-p", argument)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("camera_timout:=0.2", "unknown parameter camera_timout; known: "),
        ("camera_timeout:=0.9", "Parameter camera_timeout out of range Min: 0.05, Max: 0.4, value: 0.9"),
        ("camera_timeout:=.nan", "camera_timeout"),
        ("camera_timeout:=fast", "camera_timeout"),
        ("stop_dwell:=-1.0", "stop_dwell out of range"),
        ("stop_release:=0.6", "parameter stop_release = 0.6 is above stop_threshold = 0.5"),
        ("control_hz:=10.0 -p camera_timeout:=0.4", "a dead camera would stop the robot after 0.60 s"),
        ("odometry_timeout:=-1.0", "odometry_timeout out of range"),
        ("emergency_stop_timeout:=6.0", "emergency_stop_timeout out of range"),
        ("overlay_camera_height:=.nan", "overlay_camera_height out of range"),
        ("overlay_camera_fov:=3.2", "overlay_camera_fov out of range"),
        ("overlay_robot_width:=0.0", "overlay_robot_width out of range"),
        ("black_box_folder:=trips", "parameter black_box_folder is 'trips': expected an absolute path"),
        ("stop_words_file:=stop.yaml", "parameter stop_words_file is 'stop.yaml': expected an absolute path"),
        ("stop_words_file:=/nowhere/stop.yaml", "parameter stop_words_file: /nowhere/stop.yaml: not readable"),
        ("command_topics:=cmd_vel//mux", "parameter command_topics is 'cmd_vel//mux': expected names of topics: "),
        ("black_box_megabytes:=0", "black_box_megabytes out of range"),
        (
            "qos_overrides./camera/picture.subscription.reliability:=reliable",
            "cannot configure: unknown parameter qos_overrides./camera/picture.subscription.reliability; known: ",
        ),
        ("camera_tolerance:=0.5", "camera_tolerance out of range"),
        ("encoding:=8UC3", "parameter encoding is '8UC3': expected one of , rgb8, bgr8"),
        ("image_transport:=theora", "parameter image_transport is 'theora': expected one of raw, compressed"),
        ("dtype:=int8", "parameter dtype is 'int8': expected one of auto, float32, bfloat16, float16"),
        ("limits.linear_x_max:=0.8", "parameter limits: limit linear_x_max = 0.8 loosens the policy's 0.5"),
        ("limits.linear_x_min:=-0.1", "limit linear_x_min = -0.1 loosens the policy's 0.0"),
        ("limits.angular_z_max:=0.0", "limit angular_z_max = 0.0: expected a finite number, above 0"),
        ("limits.angular_z_max:=.nan", "limit angular_z_max = nan loosens"),
        ("camera_timeout:=1", "Parameter camera_timeout out of range Min: 0.05, Max: 0.4, value: 1.0"),
        ("camera_timeout:=true", "parameter camera_timeout is True: expected a number"),
        ("threads:=1.5", "parameter threads is 1.5: expected an integer"),
        ("frozen_timeout:=60", "parameter frozen_timeout = 60: at 0.5 m/s the robot may go 30.050 m blind"),
        (
            "emergency_stop_timeout:=5",
            "parameter emergency_stop_timeout = 5: at 0.5 m/s the robot may go 2.550 m blind",
        ),
        ("max_blind_distance:=0", "max_blind_distance out of range"),
        ("base_limits.linear_jerk:=-1.0", "parameter base_limits: limit linear_jerk = -1.0: expected a finite number"),
        ("base_limits.speed:=0.1", "unknown parameter base_limits.speed; known: "),
        ("limits.speed:=0.1", "unknown parameter limits.speed; known: "),
    ],
)
def test_other_parameters_are_refused_by_name(capfd: pytest.CaptureFixture[str], argument: str, message: str) -> None:
    assert message in refusal(capfd, StartOnly, "-p", *argument.split())


def test_a_qos_override_changes_the_topic_that_it_names_and_no_other() -> None:
    overrides = (
        "qos_overrides./camera/image_raw.subscription.reliability:=reliable",
        "qos_overrides./instruction.subscription.durability:=transient_local",
    )
    rclpy.init(args=["--ros-args", "-p", "autostart:=false", *(part for one in overrides for part in ("-p", one))])
    try:
        node = PolicyNode(lambda: Loaded(StillPolicy()))
        assert node.trigger_configure() is SUCCESS
        profiles = {one.topic_name: one.qos_profile for one in node.subscriptions}
        assert profiles["/camera/image_raw"].reliability is ReliabilityPolicy.RELIABLE
        assert profiles["/instruction"].durability is DurabilityPolicy.TRANSIENT_LOCAL
        assert profiles["/emergency_stop"].durability is DurabilityPolicy.VOLATILE
        assert NEWEST_FRAME.reliability is ReliabilityPolicy.BEST_EFFORT
        assert NEWEST.durability is DurabilityPolicy.VOLATILE
        assert node.close()
        node.destroy_node()
    finally:
        rclpy.shutdown()


def test_bad_files_are_refused(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("/**:\n  ros__parameters:\n    a: [1\n")
    assert str(broken) in refusal(capfd, StartOnly, "--params-file", str(broken))
    assert "missing.yaml" in refusal(capfd, StartOnly, "--params-file", str(tmp_path / "missing.yaml"))


class OfDirectory(StartOnly):
    policy = None


def test_a_policy_directory_is_needed(capfd: pytest.CaptureFixture[str]) -> None:
    expected = "cannot configure: parameter policy is empty: expected the path of a policy directory"
    assert refusal(capfd, OfDirectory) == expected


class ColdPolicy(StillPolicy):
    def warm_up(self, instructions: Iterable[str]) -> None:
        raise RuntimeError("no memory")


class Cold(StartOnly):
    policy = ColdPolicy


def test_a_policy_that_takes_no_first_step_is_one_message(capfd: pytest.CaptureFixture[str]) -> None:
    assert refusal(capfd, Cold) == "cannot configure: the policy's first step failed: RuntimeError: no memory"


def test_a_policy_directory_that_is_missing_or_corrupt_is_named(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    pytest.importorskip("torch")
    missing = tmp_path / "missing"
    assert str(missing) in refusal(capfd, OfDirectory, "-p", f"policy:={missing}")
    corrupt = tmp_path / "corrupt"
    corrupt.mkdir()
    (corrupt / "config.json").write_text('{"schema_version": 1,')
    message = refusal(capfd, OfDirectory, "-p", f"policy:={corrupt}")
    assert message.startswith(f"cannot configure: policy directory {corrupt} lacks ")
