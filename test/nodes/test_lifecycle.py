"""policy_node as a managed node, in this process: its states, and what it does when one cannot be left or entered."""

import os
import threading
import time
from collections.abc import Callable, Iterator

import pytest

pytest.importorskip("rclpy")

import rclpy
from rclpy.lifecycle.node import TransitionCallbackReturn
from rclpy.node import Node
from rclpy.parameter import Parameter
from still_policy import StillPolicy

from mobile_vla_ros import node_process
from mobile_vla_ros.control import Command
from mobile_vla_ros.executor import RobotExecutor
from mobile_vla_ros.loading import Loaded
from mobile_vla_ros.policy_node import ERROR, FAILURE, SUCCESS, PolicyNode


class Opener:
    """Opens a policy; `error` is raised instead, `gate` is waited for."""

    def __init__(self) -> None:
        self.opened = 0
        self.error: BaseException | None = None
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self) -> Loaded:
        assert self.gate.wait(30.0)
        if self.error is not None:
            raise self.error
        self.opened += 1
        return Loaded(StillPolicy())


@pytest.fixture
def opener() -> Opener:
    return Opener()


@pytest.fixture
def node(opener: Opener, monkeypatch: pytest.MonkeyPatch) -> Iterator[PolicyNode]:
    monkeypatch.setenv("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "OFF")
    monkeypatch.setattr(node_process, "DISCOVERY_TIME", 0.0)
    rclpy.init(args=["--ros-args", "-p", "autostart:=false"])
    node = PolicyNode(opener)
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


@pytest.mark.parametrize("error", [RuntimeError("no memory"), OSError("no such file")])
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


def test_an_emergency_stop_holds_in_every_state(node: PolicyNode) -> None:
    node._stop()
    assert node.trigger_configure() is SUCCESS
    assert node.trigger_activate() is SUCCESS
    assert node._arm() == "emergency stop (by request): reset it first"
    assert node.trigger_deactivate() is SUCCESS
    assert node.trigger_cleanup() is SUCCESS
    assert node._arming.latched
    assert node._arming.reset() is None


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
    assert node.trigger_configure() is SUCCESS
    assert node.trigger_activate() is SUCCESS
    sent: list[Command] = []
    publish = node._out.command
    monkeypatch.setattr(node._out, "command", lambda command: (sent.append(command), publish(command))[1])
    assert node._drive is not None
    monkeypatch.setattr(node._drive.controller, "command", lambda *_: 1 / 0)
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


def test_the_return_values_are_those_of_rclpy() -> None:
    assert {SUCCESS, FAILURE, ERROR} == {
        TransitionCallbackReturn.SUCCESS,
        TransitionCallbackReturn.FAILURE,
        TransitionCallbackReturn.ERROR,
    }
    assert issubclass(PolicyNode, Node)
