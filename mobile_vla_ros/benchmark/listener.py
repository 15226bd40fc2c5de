"""The other side of the node: gives the instruction and hears the commands, as a base does."""

from __future__ import annotations

import time

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import TwistStamped
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import String

from .figures import Command, Step

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class Listener(Node):
    """Hears what policy_node says.

    Attributes:
        commands: in the order of arrival.
        steps: in their order.
        status: last state and reason; empty before there was one.
    """

    def __init__(self) -> None:
        super().__init__("benchmark", enable_rosout=False)
        self.commands: list[Command] = []
        self.steps: list[Step] = []
        self.status = ""
        self._instruction = self.create_publisher(String, "instruction", 1)
        self.create_subscription(TwistStamped, "cmd_vel", self._on_command, 100)
        self.create_subscription(DiagnosticArray, "policy_node/provenance", self._on_provenance, 100)
        self.create_subscription(String, "policy_node/status", self._on_status, LATCHED)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self)

    @property
    def is_heard(self) -> bool:
        """A policy node is there to hear instructions."""
        return self._instruction.get_subscription_count() > 0

    def instruct(self, sentence: str) -> None:
        """Publish an instruction."""
        self._instruction.publish(String(data=sentence))

    def listen(self, seconds: float) -> None:
        """Take in messages for so long."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0.0:
            self._executor.spin_once(timeout_sec=left)

    def _on_command(self, message: TwistStamped) -> None:
        arrived = self.get_clock().now().nanoseconds * 1e-9
        self.commands.append(Command(_seconds(message.header.stamp), arrived))

    def _on_provenance(self, message: DiagnosticArray) -> None:
        (status,) = message.status
        values = {pair.key: pair.value for pair in status.values}
        frame, names = float(values["frame (s)"]), ("received", "begun", "decoded", "planned")
        moments = {name: frame + 1e-3 * float(values[f"{name} (ms)"]) for name in names}
        self.steps.append(Step(frame=frame, command=_seconds(message.header.stamp), **moments))

    def _on_status(self, message: String) -> None:
        self.status = message.data


def _seconds(stamp: Time) -> float:
    return float(stamp.sec) + float(stamp.nanosec) * 1e-9
