"""A bench for nodes: starts them as processes in a ROS domain of their own and listens to what they publish."""

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import Twist, TwistStamped
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import Bool, String
from std_srvs.srv import Trigger

from mobile_vla_ros.bringup.domain import free_domain
from mobile_vla_ros.own_node import OwnNode

FOLDER = Path(__file__).parent
FRAMES = "frames received"  # on /diagnostics
LATCHED = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
END_TIMEOUT = 10.0  # s for a process to end after SIGINT
ANSWER = 3.0  # s after which a service is asked again
PATIENCE = 60.0  # s for anything that has no deadline of its own


def assert_rate(times: Sequence[float], hz: float, rel: float = 0.1) -> None:
    """Most intervals are those of the rate, and no half of it is missing: a machine that is held up takes some."""
    gaps = [after - before for before, after in itertools.pairwise(times)]
    mean = len(gaps) / (times[-1] - times[0])
    print(f"{mean:.2f} Hz of {hz:g}, median gap {median(gaps):.3f} s, longest {max(gaps):.3f} s")
    assert median(gaps) == pytest.approx(1.0 / hz, rel=rel)
    assert mean > 0.5 * hz


class Process:
    """A child with its output in a file."""

    def __init__(self, command: list[str], environment: dict[str, str], log: Path) -> None:
        self._log = log
        self._may_end = False
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, env=environment, start_new_session=True
            )

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    @property
    def output(self) -> str:
        return self._log.read_text()

    def send(self, number: int) -> None:
        self._process.send_signal(number)

    def send_to_group(self, number: int) -> None:
        """Send a signal to it and its children, as a terminal does."""
        os.killpg(self._process.pid, number)

    @property
    def group_runs(self) -> bool:
        """Whether it or a child of it has not ended."""
        self._process.poll()
        try:
            os.killpg(self._process.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def wait(self, timeout: float = PATIENCE) -> int:
        """The exit code."""
        self._may_end = True
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            pytest.fail(f"it still runs after {timeout} s:\n{self.output}")

    def end(self) -> None:
        """Ask it to end, so that it leaves nothing behind; kill it if it does not."""
        self._may_end = True
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(END_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> float:
        """Kill it; s, monotonic, from which on it does nothing any more."""
        self._may_end = True
        self._process.kill()
        self._process.wait()
        return time.monotonic()

    def check(self) -> None:
        """Fail if it has ended by itself."""
        assert self._may_end or self._process.poll() is None, self.output


class Bench:
    """Processes in one ROS domain, and a node that listens to `cmd_vel` and the status of `policy_node`.

    Attributes:
        commands: (s monotonic, m/s, rad/s) as they arrived.
        statuses: (s monotonic, text).
        diagnostics: as they arrived.
    """

    def __init__(self, folder: Path) -> None:
        domain = free_domain()
        self.commands: list[tuple[float, float, float]] = []
        self.statuses: list[tuple[float, str]] = []
        self.diagnostics: list[DiagnosticStatus] = []
        self._heard: list[str] = []  # instructions that policy_node has taken
        self._folder = folder
        self._environment = {
            **os.environ,
            "ROS_DOMAIN_ID": str(domain),
            "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
            "OMP_NUM_THREADS": "1",
        }
        self._processes: list[Process] = []
        self._clients: dict[str, Any] = {}
        self._own = OwnNode("bench", domain)
        self.node = self._own.ros
        self._instruction = self.node.create_publisher(String, "instruction", 1)
        self._emergency_stop = self.node.create_publisher(Bool, "emergency_stop", 1)
        self.node.create_subscription(Twist, "cmd_vel", self._on_twist, 100)
        self.node.create_subscription(TwistStamped, "stamped_cmd_vel", self._on_stamped, 100)
        self.node.create_subscription(String, "policy_node/status", self._on_status, LATCHED)
        self.node.create_subscription(
            String, "policy_node/active_instruction", lambda message: self._heard.append(message.data), LATCHED
        )
        self.node.create_subscription(
            DiagnosticArray, "/diagnostics", lambda message: self.diagnostics.extend(message.status), 10
        )
        self._own.listen()

    def start(self, *command: str | Path, parameters: dict[str, Any] | None = None) -> Process:
        """Start a Python script of this folder, or a module ("-m", name)."""
        given = [part for name, value in (parameters or {}).items() for part in ("-p", f"{name}:={value}")]
        words = [str(FOLDER / word) if str(word).endswith(".py") else str(word) for word in command]
        log = self._folder / f"{len(self._processes)}.log"
        ros = ["--ros-args", *given] if given else []
        process = Process([sys.executable, *words, *ros], self._environment, log)
        self._processes.append(process)
        return process

    def call(self, kind: Any, name: str, request: Any, again: bool = True) -> Any:
        """A service's answer; asked again, where that does no harm, if DDS lost it, as it may while it connects."""
        if name not in self._clients:
            self._clients[name] = self.node.create_client(kind, name)
        client = self._clients[name]
        self.until(client.service_is_ready)
        future, asked = client.call_async(request), time.monotonic()

        def is_answered() -> bool:
            nonlocal future, asked
            if again and not future.done() and time.monotonic() > asked + ANSWER:
                client.remove_pending_request(future)
                future, asked = client.call_async(request), time.monotonic()
            return bool(future.done())

        self.until(is_answered)
        return future.result()

    def connect(self, name: str) -> None:
        """Make sure that a Trigger service of policy_node can be called without delay."""
        full = f"policy_node/{name}"
        if full not in self._clients:
            self._clients[full] = self.node.create_client(Trigger, full)
        self.until(self._clients[full].service_is_ready)

    def trigger(self, name: str) -> str:
        """Call a Trigger service of policy_node; why it was refused, empty if it was not."""
        response = self.call(Trigger, f"policy_node/{name}", Trigger.Request(), again=name != "reset")
        assert response.success == (not response.message)
        return str(response.message)

    def change_state(self, transition: int) -> bool:
        """Ask policy_node for a transition; whether it made it."""
        request = ChangeState.Request(transition=Transition(id=transition))
        return bool(self.call(ChangeState, "policy_node/change_state", request, again=False).success)

    def state(self) -> str:
        """Of policy_node's lifecycle."""
        return str(self.call(GetState, "policy_node/get_state", GetState.Request()).current_state.label)

    def press_emergency_stop(self, pressed: bool) -> None:
        """Publish on `emergency_stop` once."""
        self.until(lambda: self._emergency_stop.get_subscription_count() > 0)
        self._emergency_stop.publish(Bool(data=pressed))

    def until_status(self, beginning: str | tuple[str, ...]) -> None:
        """Wait until policy_node's status begins so."""
        self.until(lambda: self.statuses[-1:] != [] and self.statuses[-1][1].startswith(beginning))

    def instruct(self, text: str) -> None:
        """Give an instruction, again if it was lost because DDS had not connected both ends yet."""
        heard = len(self._heard)
        for attempt in range(int(PATIENCE / 0.02)):
            if text in self._heard[heard:]:
                return
            if attempt % 50 == 0:
                self.publish_instruction(text)
            self._own.wait(0.02)
        pytest.fail(f"policy_node does not hear {text!r}")

    def publish_instruction(self, text: str) -> None:
        """Give an instruction once."""
        self._instruction.publish(String(data=text))

    def until(self, condition: Callable[[], bool], timeout: float = PATIENCE) -> None:
        """Wait for it; fails with everything that the processes said."""
        end = time.monotonic() + timeout
        while not condition():
            for process in self._processes:
                process.check()
            if time.monotonic() > end:
                said = "\n".join(process.output for process in self._processes)
                pytest.fail(f"waited {timeout} s in vain; last status: {self.statuses[-1:]}\n{said}")
            self._own.wait(0.02)

    def as_new(self) -> None:
        """Disarm policy_node, and let go of the emergency stop."""
        self.trigger("disarm")
        self.until_status(("disarmed", "stopped: emergency stop"))
        if self.statuses[-1][1].startswith("stopped"):
            self.press_emergency_stop(False)
            self.until(lambda: self.trigger("reset") == "")

    def until_ready(self) -> None:
        """Wait until policy_node publishes commands and hears us; arm it, with no instruction."""
        self.until(lambda: bool(self.commands))
        self.instruct("")
        assert self.trigger("arm") == ""
        self.until_status("waiting: no instruction")

    def until_seeing(self) -> None:
        """Wait until policy_node has received frames."""

        def sees() -> bool:
            counts = [pair.value for status in self.diagnostics for pair in status.values if pair.key == FRAMES]
            return counts[-1:] not in ([], ["0"])

        self.until(sees)

    def until_driving(self) -> None:
        self.until(lambda: self.commands[-1][1] > 0.35)

    def assert_still(self, watch: float = 1.0) -> None:
        """Watch for `watch` s: commands come, and each of them is exactly zero."""
        begin = len(self.commands)
        self._own.wait(watch)
        seen = self.commands[begin:]
        assert len(seen) > 5 * watch, "commands have ceased"
        assert all((v, w) == (0.0, 0.0) for _, v, w in seen)

    def zero_after(self, begin: float, watch: float = 2.0) -> float:
        """Watch for `watch` s; seconds from `begin` until the last command that is not exactly zero has gone.

        Fails when commands cease.
        """
        self._own.wait(begin + watch - time.monotonic())
        after = [command for command in self.commands if command[0] >= begin]
        assert len(after) > 10 * watch, "commands have ceased"
        last = max((arrived for arrived, v, w in after if (v, w) != (0.0, 0.0)), default=begin)
        zeros = [arrived for arrived, _, _ in after if arrived > last]
        assert zeros, "the last command is not zero"
        return min(zeros) - begin

    def close(self) -> None:
        for process in self._processes:
            process.end()
        self._own.close()

    def _on_twist(self, message: Twist) -> None:
        self.commands.append((time.monotonic(), message.linear.x, message.angular.z))

    def _on_stamped(self, message: TwistStamped) -> None:
        self._on_twist(message.twist)

    def _on_status(self, message: String) -> None:
        self.statuses.append((time.monotonic(), message.data))
