"""The bench: policy_node and sensors as processes in a ROS domain of their own, and a node that hears every command."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from geometry_msgs.msg import TwistStamped
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import Bool, String
from std_srvs.srv import Trigger

from ..bringup.domain import free_domain, use_domain
from ..bringup.process import let_children_hang_up
from ..own_node import OwnNode
from ..shared_memory import remove_left_behind
from ..stamps import seconds
from .bounds import Command
from .child import BenchError, Child
from .demands import GOOD
from .promises import FULL_SPEED, SAME_INSTRUCTION_TIMEOUT

COMMAND_TOPIC = "to_the_base"  # a topic behind the node's own that the bench has a listener for
PATIENCE = 30.0  # s for anything that has no deadline of its own
INSTRUCTION = "drive to the left"
ANSWER = 3.0  # s after which a service is asked again
_SETTLED = 0.3  # s after an instruction in which the robot may first slow down
_LOOK = 0.01  # s between looks
_BEAT = 0.1  # s between two messages on `emergency_stop`
_LATCHED = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
CONFIGURE, ACTIVATE = Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE
DEACTIVATE, CLEANUP = Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP
SHUTDOWN = Transition.TRANSITION_ACTIVE_SHUTDOWN

_ONCE = ("reset", "change_state")  # what was done once is refused if it is asked for again
_SERVICES: Mapping[Any, tuple[str, ...]] = MappingProxyType(
    {
        Trigger: ("arm", "disarm", "stop", "reset"),
        ChangeState: ("change_state",),
        GetState: ("get_state",),
        SetParameters: ("set_parameters",),
    }
)


class VainError(BenchError):
    """Something was waited for in vain."""


class Bench:
    """Processes and what they say.

    Args:
        folder: for logs.

    Attributes:
        commands: of the present node, as they arrived.
    """

    def __init__(self, folder: Path) -> None:
        let_children_hang_up()
        remove_left_behind()  # among too much of it a node may not hear its camera
        environment = use_domain(free_domain())
        self.commands: list[Command] = []
        self._statuses: list[tuple[float, str]] = []  # s, steady clock
        self._followed: list[str] = []  # instructions that policy_node has taken
        self._published = "", float("-inf")  # the last instruction, and when it was given: s, steady clock
        self._folder, self._started = folder, 0
        self._environment = {
            **environment,
            "ROS_HOME": str(folder),
            "OMP_NUM_THREADS": "1",
        }
        self._parameters: Mapping[str, object] = {}
        self._node: Child | None = None
        self._sensors: Child | None = None
        self._listener: Child | None = None
        self._clients: dict[str, Any] = {}
        self._own = OwnNode("bench")
        ros = self._own.ros
        self._instruction = ros.create_publisher(String, "instruction", 1)
        self._emergency_stop = ros.create_publisher(Bool, "emergency_stop", 1)
        self._pressed, self._beats, self._last_beat = False, True, 0.0  # s, steady clock
        ros.create_timer(_BEAT, self._beat)
        ros.create_subscription(TwistStamped, "cmd_vel", self._on_command, 100)
        ros.create_subscription(String, "policy_node/status", self._on_status, _LATCHED)
        ros.create_subscription(
            String, "policy_node/active_instruction", lambda message: self._followed.append(message.data), _LATCHED
        )
        for kind, names in _SERVICES.items():
            for name in names:
                self._clients[name] = ros.create_client(kind, f"policy_node/{name}")
        self._own.listen()

    @property
    def node(self) -> Child:
        """The process of policy_node."""
        if self._node is None:
            raise BenchError("there is no node")
        return self._node

    @property
    def sensors(self) -> Child:
        """The process of camera, odometry and clock."""
        if self._sensors is None:
            raise BenchError("there are no sensors")
        return self._sensors

    @property
    def listener(self) -> Child:
        """The process that subscribes to `COMMAND_TOPIC`."""
        if self._listener is None:
            raise BenchError("there is no listener")
        return self._listener

    @property
    def status(self) -> str:
        """What policy_node said last of its state; empty: nothing."""
        return self._statuses[-1][1] if self._statuses else ""

    def said(self, begin: float, end: float) -> list[str]:
        """What policy_node said of its state between two times (s, steady clock)."""
        return [text for time, text in self._statuses if begin <= time <= end]

    def drive(self, parameters: Mapping[str, object]) -> None:
        """Bring policy_node to driving, whatever was before; start what does not run.

        Raises:
            BenchError: it does not drive.
        """
        if self._node is None or not self._node.runs or parameters != self._parameters:
            self.start_node(parameters)
        self.restore()
        self.bring_up()
        if self.trigger("arm").startswith("emergency stop ("):
            self.release()
        self.until("~/arm is accepted", lambda: not self.trigger("arm"))
        if self._followed[-1:] != [INSTRUCTION] or not self._is_driving():
            if self._followed[-1:] == [INSTRUCTION]:
                self.instruct("")  # while they are followed, the same words are no new task
            self.instruct(INSTRUCTION)
            self._own.wait(_SETTLED)
        self.until_driving()

    def start_node(self, parameters: Mapping[str, object]) -> None:
        """Start policy_node anew; it configures and activates itself."""
        if self._node is not None:
            self._node.end()
        self.commands, self._statuses, self._followed = [], [], []
        if self._sensors is not None and parameters != self._parameters:
            self._sensors.kill()  # other sensors for another node: their clock may have jumped
            self._sensors = None
        self._parameters = dict(parameters)
        self._node = self.another_node(parameters)

    def another_node(self, parameters: Mapping[str, object]) -> Child:
        """Another process of policy_node, which whoever asks for it must end."""
        values = {
            "enable_stamped_cmd_vel": "true",
            "same_instruction_timeout": SAME_INSTRUCTION_TIMEOUT,
            **parameters,
        }
        given = [part for name, value in values.items() for part in ("-p", f"{name}:={value}")]
        return self._start("mobile_vla_ros.faults.node", ["--ros-args", *given])

    def restore(self) -> None:
        """Nothing is to go wrong from now on."""
        self._beats = True
        if self._sensors is None or not self._sensors.runs:
            self._sensors = self._start("mobile_vla_ros.faults.sensors", [])
        self.sensors.demand(GOOD)
        self.node.demand(GOOD)
        if COMMAND_TOPIC in str(self._parameters.get("command_topics", "")) and not (
            self._listener is not None and self._listener.runs
        ):
            self.start_listener()

    def start_listener(self) -> float:
        """Start who subscribes to `COMMAND_TOPIC`; s, steady clock, when it does."""
        self._listener = self._start("mobile_vla_ros.faults.listener", [])
        begin = self.fault_time(self._listener, known=0)
        self.until("it is discovered", lambda: self._own.ros.count_subscribers(COMMAND_TOPIC) > 0)
        return begin

    def bring_up(self) -> None:
        """Wait until policy_node is active; it does that by itself when it starts, later it is told to."""
        begin = time.monotonic()
        while (state := self.state()) != "active":
            if time.monotonic() - begin > PATIENCE:
                raise BenchError(f"policy_node is {state}, expected active; it printed:\n{self.node.last_lines}")
            if state == "inactive" and self.commands:
                self.change_state(ACTIVATE)
            elif state == "unconfigured" and self.commands:
                self.change_state(CONFIGURE)
            self._own.wait(_LOOK)
        self.until("commands are published", lambda: bool(self.commands))

    def arm(self) -> None:
        """Arm it.

        Raises:
            BenchError: it refuses.
        """
        refusal = self.trigger("arm")
        if refusal:
            raise BenchError(f"~/arm was refused: {refusal}")

    def release(self) -> None:
        """Let go of the emergency stop, and reset it."""
        self.press(False)
        self.until("~/reset is accepted", lambda: not self.trigger("reset"))

    def instruct(self, text: str) -> None:
        """Give an instruction, again if it was lost because DDS had not connected both ends yet.

        The same words as last time are held back until they are a new task.
        """
        if text == self._published[0]:
            new = self._published[1] + SAME_INSTRUCTION_TIMEOUT + _SETTLED
            self._own.wait(max(new - time.monotonic(), 0.0))
        heard = len(self._followed)
        again = time.monotonic()

        def is_heard() -> bool:
            nonlocal again
            if time.monotonic() >= again:
                again += 1.0
                self.publish_instruction(text)
            return text.strip() in self._followed[heard:]

        self.until(f"policy_node follows {text!r}", is_heard)

    def publish_instruction(self, text: str) -> float:
        """Give an instruction once; the time just before, s, steady clock."""
        begin = time.monotonic()
        self._instruction.publish(String(data=text))
        self._published = text, begin
        return begin

    def press(self, pressed: bool) -> float:
        """Publish this on `emergency_stop`, now and from now on; the time just before, s, steady clock."""
        begin = time.monotonic()
        self._pressed = pressed
        self._emergency_stop.publish(Bool(data=pressed))
        return begin

    def silence_emergency_stop(self) -> float:
        """Publish nothing on `emergency_stop` any more; the time of the last message, s, steady clock."""
        self._beats = False
        time.sleep(_BEAT)  # one may be on its way
        return self._last_beat

    def trigger(self, name: str) -> str:
        """Call a Trigger service of policy_node; why it was refused, empty if it was not."""
        return str(self._call(name, Trigger.Request()).message)

    def change_state(self, transition: int) -> bool:
        """Ask for a transition; whether policy_node made it."""
        request = ChangeState.Request(transition=Transition(id=transition))
        return bool(self._call("change_state", request).success)

    def state(self) -> str:
        """Of policy_node's lifecycle."""
        return str(self._call("get_state", GetState.Request()).current_state.label)

    def set_parameter(self, name: str, value: float) -> str:
        """Change a parameter of policy_node; why it was refused, empty if it was not."""
        request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
        (result,) = self._call("set_parameters", request).results
        return "" if result.successful else str(result.reason) or "refused without a reason"

    def until_driving(self, timeout: float = PATIENCE) -> None:
        """Wait until it drives at full speed."""
        self.until("it drives", self._is_driving, timeout)

    def _is_driving(self) -> bool:
        return bool(self.commands) and self.commands[-1].linear_x > FULL_SPEED

    def until(self, what: str, condition: Callable[[], bool], timeout: float = PATIENCE) -> None:
        """Wait for it.

        Raises:
            BenchError: in vain, or policy_node has ended.
        """
        end = time.monotonic() + timeout
        while not condition():
            if not self.node.runs:
                raise BenchError(f"policy_node has ended; it printed:\n{self.node.last_lines}")
            if time.monotonic() > end:
                raise VainError(f"waited {timeout:g} s in vain until {what}; it says {self.status!r}")
            self._own.wait(_LOOK)

    def fault_time(self, child: Child, known: int, number: int = 1) -> float:
        """When a child, which had gone wrong `known` times before, did so for the `number`-th time since.

        Returns:
            s, steady clock.
        """
        self.until("the fault is there", lambda: len(child.faults) >= known + number)
        return child.faults[known + number - 1]

    def close(self) -> None:
        """End everything, and remove what killed nodes have left in shared memory."""
        with contextlib.ExitStack() as stack:
            stack.callback(remove_left_behind)
            stack.callback(self._own.close)
            for child in (self._sensors, self._listener, self._node):
                if child is not None and child.runs:
                    stack.callback(child.end)

    def _beat(self) -> None:
        if self._beats:
            self._last_beat = time.monotonic()
            self._emergency_stop.publish(Bool(data=self._pressed))

    def _start(self, module: str, arguments: list[str]) -> Child:
        self._started += 1
        return Child(module, arguments, self._environment, self._folder / f"{self._started}.log")

    def _call(self, name: str, request: Any) -> Any:
        """The answer of one of policy_node's services; asked again where DDS lost it, as it may while it connects."""
        client, end = self._clients[name], time.monotonic() + PATIENCE
        while time.monotonic() < end:
            self.until(f"the service {name} is there", client.service_is_ready)
            future = client.call_async(request)
            with contextlib.suppress(VainError):
                self.until(f"{name} is answered", future.done, timeout=PATIENCE if name in _ONCE else ANSWER)
                return future.result()
            client.remove_pending_request(future)
        raise VainError(f"{name} was not answered for {PATIENCE:g} s")

    def _on_command(self, message: TwistStamped) -> None:
        received, stamp, twist = time.monotonic(), seconds(message.header.stamp), message.twist
        self.commands.append(Command(received, stamp, twist.linear.x, twist.angular.z))

    def _on_status(self, message: String) -> None:
        self._statuses.append((time.monotonic(), message.data))
