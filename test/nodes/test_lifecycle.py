"""policy_node as a managed node, in this process: its states, and what it does when one cannot be left or entered."""

import re
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy")

import rclpy
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Twist
from nav_msgs.msg import Odometry
from rclpy.lifecycle.node import TransitionCallbackReturn
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from std_msgs.msg import Bool, String
from still_policy import StillPolicy

from mobile_vla_ros.control import Command
from mobile_vla_ros.executor import RobotExecutor
from mobile_vla_ros.faults.policy import CONTINUOUS, DT, LIMITS
from mobile_vla_ros.images import to_image
from mobile_vla_ros.inference.loading import Loaded
from mobile_vla_ros.overlay import Moment
from mobile_vla_ros.policy_node.drive import Drive
from mobile_vla_ros.policy_node.node import ERROR, FAILURE, SUCCESS, PolicyNode
from mobile_vla_ros.policy_node.topics import Publishers


class Opener:
    """Opens a policy; `error` is raised instead, `gate` is waited for."""

    def __init__(self) -> None:
        self.opened = 0
        self.policy = StillPolicy()
        self.error: BaseException | None = None
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self) -> Loaded:
        assert self.gate.wait(30.0)
        if self.error is not None:
            raise self.error
        self.opened += 1
        return Loaded(self.policy)


@pytest.fixture
def opener() -> Opener:
    return Opener()


@pytest.fixture
def node(opener: Opener, alone: None) -> Iterator[PolicyNode]:
    rclpy.init(args=["--ros-args", "-p", "autostart:=false"])
    node = PolicyNode(opener)
    base = node.create_subscription(Twist, "cmd_vel", lambda _: None, 1)  # nobody arms a robot that has no base
    node.base = base  # type: ignore[attr-defined]
    yield node
    opener.gate.set()
    assert node.close()
    node.destroy_node()
    rclpy.shutdown()


def label(node: PolicyNode) -> str:
    return str(node._state_machine.current_state[1])


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30.0
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_it_goes_through_its_states_and_back_as_often_as_wanted(node: PolicyNode, opener: Opener) -> None:
    for turn in range(2):
        assert node.trigger_configure() is SUCCESS
        for _ in range(2):
            assert node.trigger_activate() is SUCCESS
            assert node._arm() is None
            assert node.trigger_deactivate() is SUCCESS
            assert not node._arming.armed
            assert node._arm() == "the node is inactive, expected active"
        assert node.trigger_cleanup() is SUCCESS
        assert opener.opened == turn + 1
        assert node._worker is None
    assert node.trigger_configure() is SUCCESS
    assert node.trigger_shutdown() is SUCCESS
    assert label(node) == "finalized"
    assert node._worker is None


@pytest.mark.parametrize("error", [RuntimeError("no memory"), OSError("no such file"), SystemExit("no licence")])
def test_a_policy_that_does_not_open_leaves_it_unconfigured(
    node: PolicyNode, opener: Opener, error: Exception, capfd: pytest.CaptureFixture[str]
) -> None:
    opener.error = error
    assert node.trigger_configure() is FAILURE
    assert label(node) == "unconfigured"
    assert f"cannot configure: {type(error).__name__}: {error}" in capfd.readouterr().err
    opener.error = None
    assert node.trigger_configure() is SUCCESS
    assert node._reason == ""


def test_a_limit_that_is_loosened_is_named_at_configure(node: PolicyNode, capfd: pytest.CaptureFixture[str]) -> None:
    assert node.trigger_configure() is SUCCESS
    assert not node.set_parameters([Parameter("limits.linear_x_max", value=0.6)])[0].successful
    assert node.set_parameters([Parameter("limits.linear_x_max", value=0.3)])[0].successful
    assert node.trigger_activate() is SUCCESS
    assert node._arm() is None
    (result,) = node.set_parameters([Parameter("limits.linear_x_max", value=0.2)])
    assert result.reason == "limits.linear_x_max can change only while the robot is disarmed and stands"
    assert node.set_parameters([Parameter("limits.linear_x_max", value=0.3)])[0].successful is False


def test_a_policy_is_held_within_the_limits_of_the_base(
    node: PolicyNode, opener: Opener, capfd: pytest.CaptureFixture[str]
) -> None:
    fast = replace(LIMITS, linear_x_max=1e6, linear_acceleration=1e6)
    action = SimpleNamespace(limits=fast, continuous=CONTINUOUS)
    opener.policy.config = SimpleNamespace(dt=DT, cameras=("camera",), action=action)
    assert node.trigger_configure() is FAILURE
    assert "parameter plan_timeout = 0.65: at 2 m/s the robot may go" in node._reason
    assert all(result.successful for result in node.set_parameters([Parameter("max_blind_distance", value=10)]))
    assert node.trigger_configure() is SUCCESS
    said = "the base's limits hold instead of the policy's: linear_x_max 1e+06 to 2, linear_acceleration 1e+06 to 3"
    assert said in capfd.readouterr().err
    assert node._settings.limits() == replace(LIMITS, linear_x_max=2.0, linear_acceleration=3.0)
    description = node.describe_parameter("limits.linear_x_max").description
    assert "the policy's own is 1e+06, base_limits.linear_x_max is 2; the tightest of all three holds" in description


def test_time_outs_that_allow_too_much_are_refused_as_a_set(node: PolicyNode) -> None:
    assert node.trigger_configure() is SUCCESS
    (result,) = node.set_parameters([Parameter("plan_timeout", value=10)])
    assert not result.successful
    assert "parameter plan_timeout = 10: at 0.5 m/s the robot may go 5.175 m blind" in result.reason
    both = [Parameter("plan_timeout", value=1.3), Parameter("limits.linear_x_max", value=0.3)]
    assert node.set_parameters_atomically(both).successful
    (result,) = node.set_parameters([Parameter("limits.linear_x_max", value=0.5)])
    assert not result.successful


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("frozen_timeout", 1, "may turn by|m blind"),
        ("camera_timeout", 1, "camera_timeout out of range"),
        ("camera_timeout", "0.2", "parameter camera_timeout is '0.2': expected a number"),
        ("camera_timeout", True, "parameter camera_timeout is True: expected a number"),
        ("stop_dwell", 1, ""),
    ],
)
def test_an_integer_will_do_for_a_number(node: PolicyNode, name: str, value: object, reason: str) -> None:
    assert node.trigger_configure() is SUCCESS
    (result,) = node.set_parameters([Parameter(name, value=value)])
    assert result.successful == (not reason)
    assert re.search(reason, result.reason)
    assert isinstance(node.get_parameter(name).value, float)


def test_what_goes_wrong_in_activation_frees_everything(
    node: PolicyNode, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert node.trigger_configure() is SUCCESS
    with monkeypatch.context() as patch:
        patch.setattr(node, "create_timer", lambda *_, **__: 1 / 0)
        assert node.trigger_activate() is ERROR
    assert "cannot activate: ZeroDivisionError" in capfd.readouterr().err
    assert label(node) == "unconfigured"
    assert node._described.startswith("unconfigured: cannot activate: ZeroDivisionError")
    assert node._worker is None
    assert node.trigger_configure() is SUCCESS
    assert node.trigger_activate() is SUCCESS
    assert node._described == "active"


def activated(node: PolicyNode) -> Drive:
    assert node.trigger_configure() is SUCCESS
    assert node.trigger_activate() is SUCCESS
    assert node._drive is not None
    return node._drive


def spin_some(node: PolicyNode) -> None:
    executor = RobotExecutor(node.slow)
    executor.add_node(node)
    for _ in range(50):
        executor.spin_once(timeout_sec=0.01)


def test_a_press_is_heard_however_soon_it_is_let_go(node: PolicyNode) -> None:
    button = node.create_publisher(Bool, "emergency_stop", 10)
    spin_some(node)
    for pressed in (False, True, False, False):  # beside the heartbeat of another publisher
        button.publish(Bool(data=pressed))
    spin_some(node)
    assert node._arming.latched == "pressed"
    assert not node._arming.pressed


def test_each_press_ends_the_instruction(node: PolicyNode) -> None:
    drive = activated(node)
    for pressed, sentence in ((True, ""), (True, "go"), (False, "go"), (True, "")):
        node._on_emergency_stop(Bool(data=pressed))
        assert drive.controller.instruction == sentence
        drive.on_instruction(String(data="go"))


def test_it_is_disarmed_even_where_the_last_zero_cannot_be_sent(
    node: PolicyNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    activated(node)
    assert node._arm() is None
    with monkeypatch.context() as patch:
        patch.setattr(node._out, "command", lambda _: 1 / 0)
        assert node.trigger_deactivate() is ERROR
    assert not node._arming.armed


def test_the_last_zero_is_waited_for_before_the_publisher_is_silenced(
    node: PolicyNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    activated(node)
    done: list[str] = []
    send, wait, silence = node._out.command, node._out.wait_for_command, node.destroy_timer

    def command(command: Command) -> Time:
        done.append(f"command {command.linear_x:g} {command.angular_z:g}")
        return send(command)

    def wait_for_command() -> None:
        assert node._out._command.is_activated
        done.append("wait")
        wait()

    def destroy_timer(timer: object) -> bool:
        done.append("timer")
        return bool(silence(timer))

    monkeypatch.setattr(node._out, "command", command)
    monkeypatch.setattr(node._out, "wait_for_command", wait_for_command)
    monkeypatch.setattr(node, "destroy_timer", destroy_timer)
    assert node.trigger_deactivate() is SUCCESS
    assert done == ["command 0 0", "wait", "timer"]
    assert not node._out._command.is_activated


def test_a_command_that_was_held_up_on_its_way_is_decided_anew(
    node: PolicyNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    drive = activated(node)
    decide, moments, sent = drive.controller.command, [], []

    def command(now: float, steady: float) -> Command:
        moments.append(steady)
        decided = decide(now, steady)
        if len(moments) == 1:
            time.sleep(0.1)
        return replace(decided, reason=str(len(moments)))

    monkeypatch.setattr(drive.controller, "command", command)
    monkeypatch.setattr(node._out, "command", lambda command: sent.append(command.reason) or Time())
    drive.tick()
    assert sent == ["2"]
    assert moments[1] - moments[0] >= 0.1


def test_arming_on_activation_that_is_refused_is_said(
    node: PolicyNode, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(node._settings, "arm_on_activate", True)
    node._stop()
    drive = activated(node)
    assert not drive.controller.arming.armed
    assert "not armed on activation: emergency stop (by request): reset it first" in capfd.readouterr().err


def status(node: PolicyNode) -> tuple[str, str]:
    """State and reason of a command of now."""
    drive = node._drive
    assert drive is not None
    command = drive.controller.command(drive._now(), time.monotonic())
    return command.state.value, command.reason


def test_the_reason_why_it_is_not_armed_is_of_this_activation(node: PolicyNode) -> None:
    for _ in range(2):
        activated(node)
        assert status(node) == ("disarmed", "not armed yet")
        assert node._arm() is None
        assert node.trigger_deactivate() is SUCCESS
        assert node.trigger_cleanup() is SUCCESS


def look(node: PolicyNode) -> None:
    node._while_active(node._look)


def test_a_robot_that_nobody_hears_is_not_armed_and_one_that_loses_its_base_is_disarmed(
    node: PolicyNode, capfd: pytest.CaptureFixture[str]
) -> None:
    drive = activated(node)
    node.destroy_subscription(node.base)
    assert node._arm() == "nobody subscribes to /cmd_vel"
    drive.tick()
    assert status(node) == ("disarmed", "nobody subscribes to /cmd_vel")
    base = node.create_subscription(Twist, "cmd_vel", lambda _: None, 1)
    assert node._arm() is None
    look(node)
    assert node._arming.armed
    drive.on_instruction(String(data="go"))
    node.destroy_subscription(base)
    look(node)
    assert status(node) == ("disarmed", "nobody subscribes to /cmd_vel any more: /policy_node has gone")
    assert "disarmed: nobody subscribes to /cmd_vel any more" in capfd.readouterr().err
    node.create_subscription(Twist, "cmd_vel", lambda _: None, 1)
    look(node)
    assert not node._arming.armed
    assert drive.controller.instruction == "go"
    assert node._arm() is None


def test_topics_behind_the_node_are_not_those_that_it_calls_by_the_same_name(opener: Opener, alone: None) -> None:
    arguments = ("-r", "cmd_vel:=cmd_vel_vla", "-p", "command_topics:=cmd_vel", "-p", "autostart:=false")
    rclpy.init(args=["--ros-args", *arguments])
    node = PolicyNode(opener)
    try:
        activated(node)
        assert node._arm() == "nobody subscribes to /cmd_vel_vla, /cmd_vel"
        # Their cmd_vel is not renamed.
        others = [rclpy.create_node(f"listener{number}", use_global_arguments=False) for number in range(2)]
        others[0].create_subscription(Twist, "/cmd_vel_vla", lambda _: None, 1)
        assert node._arm() == "nobody subscribes to /cmd_vel"
        others[1].create_subscription(Twist, "/cmd_vel", lambda _: None, 1)
        assert node._arm() is None
        assert node._subscribers.nodes == {"/cmd_vel_vla": "/listener0", "/cmd_vel": "/listener1"}
    finally:
        assert node.close()
        node.destroy_node()
        rclpy.shutdown()


def test_arming_on_activation_waits_for_a_base(node: PolicyNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node._settings, "arm_on_activate", True)
    node.destroy_subscription(node.base)
    activated(node)
    look(node)
    assert not node._arming.armed
    base = node.create_subscription(Twist, "cmd_vel", lambda _: None, 1)
    look(node)
    assert node._arming.armed
    node.destroy_subscription(base)
    look(node)
    node.create_subscription(Twist, "cmd_vel", lambda _: None, 1)
    look(node)
    assert not node._arming.armed  # it was armed on activation, and is not again


@pytest.mark.parametrize("order", ["_disarm", "_stop"])
def test_a_person_ends_the_wait_for_a_base(node: PolicyNode, monkeypatch: pytest.MonkeyPatch, order: str) -> None:
    monkeypatch.setattr(node._settings, "arm_on_activate", True)
    node.destroy_subscription(node.base)
    activated(node)
    getattr(node, order)()
    node._arming.reset()
    node.create_subscription(Twist, "cmd_vel", lambda _: None, 1)
    look(node)
    assert not node._arming.armed


def test_odometry_of_absurd_numbers_is_no_reason_to_end(node: PolicyNode) -> None:
    drive = activated(node)
    message = Odometry()
    message.pose.pose.orientation.y = message.pose.pose.orientation.w = 1e200
    drive.on_odometry(message)


def test_an_emergency_stop_holds_in_every_state(node: PolicyNode) -> None:
    node._stop()
    assert node.trigger_configure() is SUCCESS
    assert node.trigger_activate() is SUCCESS
    assert node._arm() == "emergency stop (by request): reset it first"
    assert node.trigger_deactivate() is SUCCESS
    assert node.trigger_cleanup() is SUCCESS
    assert node._arming.latched
    assert node._arming.reset() is None


def test_cleanup_frees_the_policy(node: PolicyNode, opener: Opener) -> None:
    assert node.trigger_configure() is SUCCESS
    policy = weakref.ref(opener.policy)
    opener.policy = StillPolicy()
    assert node.trigger_cleanup() is SUCCESS
    assert policy() is None


@pytest.mark.parametrize("faster", [0.4, 0.6])
def test_the_limits_are_those_of_the_policy_of_the_moment(node: PolicyNode, opener: Opener, faster: float) -> None:
    activated(node)
    node.set_parameters([Parameter("limits.angular_z_max", value=0.5), Parameter("max_blind_distance", value=1)])
    assert node.trigger_deactivate() is SUCCESS
    assert node.trigger_cleanup() is SUCCESS
    action = SimpleNamespace(limits=replace(LIMITS, linear_x_max=faster), continuous=CONTINUOUS)
    opener.policy.config = SimpleNamespace(dt=DT, cameras=("camera",), action=action)
    assert node.trigger_configure() is SUCCESS
    assert node.get_parameter("limits.linear_x_max").value == faster
    assert node.get_parameter("limits.angular_z_max").value == 0.5  # tightened by hand


def test_transitions_out_of_turn_are_refused(node: PolicyNode, opener: Opener) -> None:
    assert node.trigger_activate() is ERROR
    opener.gate.clear()
    configuring = threading.Thread(target=node.trigger_configure)
    configuring.start()
    wait_until(lambda: label(node) == "configuring")
    assert node.trigger_configure() is ERROR
    assert label(node) == "configuring"
    opener.gate.set()
    configuring.join(30.0)
    assert label(node) == "inactive"
    assert opener.opened == 1


def test_closing_while_it_is_configured_says_that_a_thread_is_left(node: PolicyNode, opener: Opener) -> None:
    opener.gate.clear()
    node._autostart.start()
    wait_until(lambda: label(node) == "configuring")
    assert not node.close()
    opener.gate.set()
    node._autostart.join(30.0)


def test_only_slow_callbacks_leave_the_thread_that_spins(node: PolicyNode) -> None:
    threads: dict[str, threading.Thread] = {}
    release = threading.Event()

    def slow() -> None:
        threads["slow"] = threading.current_thread()
        timer.cancel()
        assert release.wait(30.0)

    timer = node.create_timer(0.01, slow, callback_group=node.slow)
    node.create_timer(0.01, lambda: threads.setdefault("fast", threading.current_thread()))
    executor = RobotExecutor(node.slow)
    executor.add_node(node)
    end = time.monotonic() + 30.0
    while len(threads) < 2 and time.monotonic() < end:
        executor.spin_once(timeout_sec=0.1)
    assert threads["fast"] is threading.current_thread() is not threads["slow"]
    assert executor.busy
    release.set()
    wait_until(lambda: not executor.busy)


def test_threads_that_have_ended_are_not_kept(node: PolicyNode) -> None:
    calls: list[int] = []
    node.create_timer(0.005, lambda: calls.append(0), callback_group=node.slow)
    executor = RobotExecutor(node.slow)
    executor.add_node(node)
    while len(calls) < 20:
        executor.spin_once(timeout_sec=0.1)
    assert len(executor._threads) < 10


@pytest.mark.parametrize("slow", [True, False])
def test_what_a_callback_raises_ends_spinning(node: PolicyNode, slow: bool) -> None:
    node.create_timer(0.01, lambda: 1 / 0, callback_group=node.slow if slow else None)
    executor = RobotExecutor(node.slow)
    executor.add_node(node)

    def spin() -> None:
        for _ in range(300):
            executor.spin_once(timeout_sec=0.1)

    with pytest.raises(ZeroDivisionError):
        spin()


def test_a_zero_leaves_also_when_what_decides_is_broken(node: PolicyNode, monkeypatch: pytest.MonkeyPatch) -> None:
    drive = activated(node)
    sent: list[Command] = []
    publish = node._out.command
    monkeypatch.setattr(node._out, "command", lambda command: (sent.append(command), publish(command))[1])
    monkeypatch.setattr(drive.controller, "command", lambda *_: 1 / 0)
    executor = RobotExecutor(node.slow)
    executor.add_node(node)

    def spin() -> None:
        for _ in range(300):
            executor.spin_once(timeout_sec=0.1)

    with pytest.raises(ZeroDivisionError):
        spin()
    assert sent == []
    assert node.close()
    assert [(command.linear_x, command.angular_z) for command in sent] == [(0.0, 0.0)]


class TwoCameras(StillPolicy):
    config = SimpleNamespace(**{**vars(StillPolicy.config), "cameras": ("front", "hand")})


def camera_topics(node: PolicyNode) -> list[str]:
    return sorted(one.topic_name for one in node.subscriptions if "camera" in one.topic_name)


@pytest.mark.parametrize(
    ("policy", "transport", "topics"),
    [
        (StillPolicy, "raw", ["/camera/image_raw"]),
        (StillPolicy, "compressed", ["/camera/image_raw/compressed"]),
        (TwoCameras, "raw", ["/camera/front/image_raw", "/camera/hand/image_raw"]),
        (TwoCameras, "compressed", ["/camera/front/image_raw/compressed", "/camera/hand/image_raw/compressed"]),
    ],
)
def test_the_cameras_of_the_policy_are_heard_from_configure_to_cleanup(
    node: PolicyNode, opener: Opener, policy: type[StillPolicy], transport: str, topics: list[str]
) -> None:
    node._settings.image_transport = transport
    opener.policy = policy()
    before = sorted(channel.name for channel in node._in.channels)
    executor = RobotExecutor(node.slow)
    executor.add_node(node)
    for _ in range(2):
        assert camera_topics(node) == []
        assert node.trigger_configure() is SUCCESS
        assert camera_topics(node) == topics
        assert [channel.name for channel in node._in.channels if "camera" in channel.name] == topics
        assert node.trigger_cleanup() is SUCCESS
        end = time.monotonic() + 30.0
        while camera_topics(node) and time.monotonic() < end:
            executor.spin_once(timeout_sec=0.1)
    assert sorted(channel.name for channel in node._in.channels) == before


def test_cameras_come_and_go_while_the_node_spins(
    node: PolicyNode, opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    opener.policy = TwoCameras()
    heard: list[str] = []
    monkeypatch.setattr(node, "_on_image", lambda camera, _: heard.append(camera))
    frame = to_image(np.zeros((4, 6, 3), np.uint8), Time(), "camera")
    cameras = [node.create_publisher(Image, f"camera/{name}/image_raw", 1) for name in ("front", "hand")]
    node.create_timer(0.002, lambda: [camera.publish(frame) for camera in cameras])
    results: list[TransitionCallbackReturn] = []

    def manage() -> None:
        for _ in range(10):
            results.append(node.trigger_configure())
            count = len(heard)
            wait_until(lambda count=count: {"front", "hand"} <= set(heard[count:]))
            results.append(node.trigger_cleanup())

    manager = threading.Thread(target=manage, daemon=True)
    manager.start()
    executor = RobotExecutor(node.slow)
    executor.add_node(node)
    while manager.is_alive():
        executor.spin_once(timeout_sec=0.1)
    assert results == [SUCCESS] * 20


def test_the_overlay_is_drawn_only_for_somebody_and_of_the_newest_frame(
    node: PolicyNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    drive = activated(node)
    shown: list[Moment] = []
    monkeypatch.setattr(node._overlay, "show", shown.append)
    frames = [to_image(np.full((4, 6, 3), value, np.uint8), Time(), "camera") for value in (1, 2)]
    drive.on_image("camera", frames[0])
    drive.tick()
    assert shown == []
    monkeypatch.setattr(Publishers, "overlay_wanted", True)
    drive.on_image("camera", frames[1])
    drive.tick()
    (moment,) = shown
    assert moment.message is frames[1]
    assert (moment.command.reason, moment.plan, moment.stop) == ("not armed yet", None, None)


def test_faults_and_emergency_stops_trip_the_black_box_and_nothing_else_does(
    node: PolicyNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    trips: list[tuple[str, bool]] = []
    monkeypatch.setattr(node, "_trip", lambda reason, by_a_person: trips.append((reason, by_a_person)))
    assert node.trigger_configure() is SUCCESS
    assert node._black_box is None  # none is made unless a folder is named
    assert node.trigger_activate() is SUCCESS
    drive = node._drive
    assert drive is not None
    assert node._arm() is None
    node._disarm()
    drive.tick()
    assert node._arm() is None
    drive.on_instruction(String(data="go"))
    assert trips == []
    drive.controller.policy_failed("policy: out of memory")
    for _ in range(3):
        drive.tick()
    assert trips == [("policy: out of memory", False)]
    node._stop()
    drive.tick()
    assert trips[1:] == [("emergency stop: by request", True)]
    assert node._arming.reset() is None
    drive.tick()
    assert len(trips) == 2


def test_the_return_values_are_those_of_rclpy() -> None:
    assert {SUCCESS, FAILURE, ERROR} == {
        TransitionCallbackReturn.SUCCESS,
        TransitionCallbackReturn.FAILURE,
        TransitionCallbackReturn.ERROR,
    }
    assert issubclass(PolicyNode, Node)
