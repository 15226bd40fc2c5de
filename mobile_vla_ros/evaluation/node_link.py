"""policy_node as a process, and a node that is its camera, its base and whoever gives it instructions."""

from __future__ import annotations

import queue
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import TwistStamped
from numpy.typing import NDArray
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.time import Time
from sensor_msgs.msg import Image
from std_msgs.msg import String
from std_srvs.srv import Trigger

from mobile_vla_models import MobileVLAError

from ..bringup.domain import free_domain, use_domain
from ..bringup.process import NodeProcess, node_process
from ..control import DriveState
from ..faults.bounds import Command
from ..images import to_image
from ..own_node import OwnNode
from ..policy_node.diagnostics import Counts, values_of
from ..stamps import seconds
from .series import Opening

NODE = "policy_node"
START_TIMEOUT = 240.0  # s, for torch to be imported and the policy to be loaded on a busy machine
PATIENCE = 30.0  # s for anything else that has no deadline of its own
_ANSWER = 3.0  # s after which a service is asked again
_AGAIN = 1.0  # s after which an instruction is given again, before the first run
_LOOK = 0.005  # s between looks
_HEARD_ALL = 0.2  # s after the last frame from which on the node has counted it
_FRAME_ID = "camera_optical_frame"
_HELLO = "hello"  # said to a node that may not move: whether it hears
_LATCHED = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class NodeLinkError(MobileVLAError):
    """policy_node cannot be driven with; the message says why."""


@dataclass(frozen=True)
class Status:
    """What `~/status` said.

    Attributes:
        received: s, steady clock.
        text: state and reason.
    """

    received: float
    text: str

    def tells(self, state: DriveState) -> bool:
        """It is in this state."""
        return self.text.partition(":")[0] == state.value


@dataclass(frozen=True)
class Joined:
    """A command with which a new plan took over, as `~/provenance` says.

    Attributes:
        sent: s, its stamp.
        latency: s from the frame to it.
    """

    sent: float
    latency: float


Heard = Command | Status | Joined


class NodeLink:
    """Topics and services of a policy_node.

    What it says is received in a thread of its own, and waits until it is taken.

    Attributes:
        status: the last of it.
        followed: the sentence that the node follows.
        sent: frames that were published.
    """

    def __init__(self) -> None:
        self.sent = 0
        self.status = Status(0.0, "")
        self.followed = ""
        self._process: NodeProcess | None = None
        self._heard: queue.SimpleQueue[Heard] = queue.SimpleQueue()
        self._commanded = False
        self._frames: tuple[float, Counts] | None = None  # s, system clock, of the node's count
        self._own = OwnNode("evaluation")
        ros = self._own.ros
        self._image = ros.create_publisher(Image, "camera/image_raw", 1)
        self._instruction = ros.create_publisher(String, "instruction", 1)
        ros.create_subscription(TwistStamped, "cmd_vel", self._on_command, 100)
        ros.create_subscription(String, f"{NODE}/status", self._on_status, _LATCHED)
        ros.create_subscription(String, f"{NODE}/active_instruction", self._on_instruction, _LATCHED)
        ros.create_subscription(DiagnosticArray, f"{NODE}/provenance", self._on_provenance, 100)
        ros.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 100)
        self._services: dict[str, Any] = {
            name: ros.create_client(Trigger, f"{NODE}/{name}") for name in ("arm", "disarm")
        }
        self._own.listen()

    def bring_up(self, process: NodeProcess) -> None:
        """Wait until the node is active and everything is connected; it configures and activates itself.

        Raises:
            NodeLinkError: in vain.
            BringUpError: it has ended.
        """
        self._process = process
        self._until("it is active", lambda: self._commanded, START_TIMEOUT)
        self._until("it subscribes to the camera", lambda: self._image.get_subscription_count() > 0)
        # What is published while DDS connects both ends is lost: so it is told again until it has heard.
        for sentence in (_HELLO, ""):
            again = 0.0
            begin = time.monotonic()
            while self.followed != sentence:
                if time.monotonic() - begin > PATIENCE:
                    raise NodeLinkError(f"{NODE} does not hear instructions: {self._described}")
                if time.monotonic() >= again:
                    again = time.monotonic() + _AGAIN
                    self.instruct(sentence)
                self._own.wait(_LOOK)

    def arm(self) -> None:
        """Arm it; only frames stamped from now on count.

        Raises:
            NodeLinkError: it refuses, or does not answer.
        """
        self._trigger("arm")

    def rest(self) -> None:
        """End the instruction, disarm it, and wait until it stands.

        Raises:
            NodeLinkError: it does not come to rest.
        """
        self.instruct("")
        self._until("the instruction has ended", lambda: not self.followed)
        self._trigger("disarm")
        self._until("it is disarmed", lambda: self.status.tells(DriveState.DISARMED))

    def instruct(self, sentence: str) -> None:
        """Give an instruction once."""
        self._instruction.publish(String(data=sentence))

    def show(self, rgb: NDArray[np.uint8], stamp: float) -> None:
        """Publish a frame, uint8 (h, w, 3), stamped `stamp` (s, system clock)."""
        self._image.publish(to_image(rgb, Time(nanoseconds=round(stamp * 1e9)).to_msg(), _FRAME_ID))
        self.sent += 1

    def take(self) -> Iterator[Heard]:
        """What came in and was not taken yet."""
        while True:
            try:
                yield self._heard.get_nowait()
            except queue.Empty:
                return

    def check(self) -> None:
        """Do nothing while the node runs and is heard.

        Raises:
            BringUpError: it has ended.
            Exception: what a callback has raised.
        """
        self._own.wait(0.0)
        if self._process is not None:
            self._process.check()

    def count_frames(self) -> Counts:
        """What the node has counted, the last frame among it.

        Raises:
            NodeLinkError: it says nothing.
        """
        now = time.time()
        counted: list[Counts] = []

        def has_counted() -> bool:
            if self._frames is not None and self._frames[0] > now + _HEARD_ALL:
                counted.append(self._frames[1])
            return bool(counted)

        self._until("it counts its frames on /diagnostics", has_counted)
        return counted[0]

    def close(self) -> None:
        """Leave the ROS graph."""
        self._own.close()

    @property
    def _described(self) -> str:
        log = "" if self._process is None else f"\nthe end of {self._process.log}:\n{self._process.last_lines()}"
        return f"it says {self.status.text!r}{log}"

    def _until(self, what: str, condition: Callable[[], bool], timeout: float = PATIENCE) -> None:
        end = time.monotonic() + timeout
        while not condition():
            self.check()
            if time.monotonic() > end:
                raise NodeLinkError(f"waited {timeout:g} s in vain for {NODE} until {what}; {self._described}")
            self._own.wait(_LOOK)

    def _trigger(self, name: str) -> None:
        """Call a service, again where DDS lost the answer, as it may while it connects."""
        client, end = self._services[name], time.monotonic() + PATIENCE
        self._until(f"the service {name} is there", client.service_is_ready)
        while time.monotonic() < end:
            future, again = client.call_async(Trigger.Request()), time.monotonic() + _ANSWER
            while not future.done() and time.monotonic() < again:
                self.check()
                self._own.wait(_LOOK)
            if future.done():
                refusal = future.result().message
                if refusal:
                    raise NodeLinkError(f"{NODE} refuses ~/{name}: {refusal}")
                return
            client.remove_pending_request(future)
        raise NodeLinkError(f"{NODE} does not answer ~/{name} for {PATIENCE:g} s; {self._described}")

    def _on_command(self, message: TwistStamped) -> None:
        received, twist = time.monotonic(), message.twist
        self._commanded = True
        self._heard.put(Command(received, seconds(message.header.stamp), twist.linear.x, twist.angular.z))

    def _on_status(self, message: String) -> None:
        self.status = Status(time.monotonic(), message.data)
        self._heard.put(self.status)

    def _on_instruction(self, message: String) -> None:
        self.followed = message.data

    def _on_provenance(self, message: DiagnosticArray) -> None:
        latency = 1e-3 * float(values_of(message.status[0])["latency (ms)"])
        self._heard.put(Joined(seconds(message.header.stamp), latency))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            counts = Counts.read(values_of(status))
            if counts is not None:
                self._frames = seconds(message.header.stamp), counts


@contextmanager
def open_link(opening: Opening) -> Iterator[NodeLink]:
    """Start policy_node in a ROS domain of its own, active and disarmed; it ends on leaving.

    Raises:
        NodeLinkError: it does not come up; the end of its log is in the message.
        BringUpError: it has ended, or does not end when it is asked to.
    """
    environment = use_domain(free_domain())
    parameters: dict[str, object] = {
        "policy": opening.directory.resolve(),
        "engine": opening.engine,
        "device": opening.device,
        "enable_stamped_cmd_vel": "true",
    }
    given = [part for name, value in parameters.items() for part in ("-p", f"{name}:={value}")]
    command = [sys.executable, "-m", f"mobile_vla_ros.{NODE}", "--ros-args", *given]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        link = NodeLink()
        stack.callback(link.close)  # after the node has ended: its last zero finds somebody listening
        environment["ROS_HOME"] = str(folder)
        process = stack.enter_context(node_process(NODE, command, environment, folder / f"{NODE}.log"))
        link.bring_up(process)
        yield link
