"""The other side of the node: gives the instruction and hears the commands, as a base does."""

from __future__ import annotations

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import TwistStamped
from std_msgs.msg import String

from ..own_node import OwnNode
from ..policy_node.diagnostics import values_of
from ..qos import LATCHED
from ..stamps import seconds
from .figures import Command, Step


class Listener:
    """Hears what policy_node says.

    Attributes:
        commands: in the order of arrival.
        steps: in their order.
        status: last state and reason; empty before there was one.
    """

    def __init__(self) -> None:
        self.commands: list[Command] = []
        self.steps: list[Step] = []
        self.status = ""
        self._own = OwnNode("benchmark")
        ros = self._own.ros
        self._instruction = ros.create_publisher(String, "instruction", 1)
        ros.create_subscription(TwistStamped, "cmd_vel", self._on_command, 100)
        ros.create_subscription(DiagnosticArray, "policy_node/provenance", self._on_provenance, 100)
        ros.create_subscription(String, "policy_node/status", self._on_status, LATCHED)
        self._own.listen()

    @property
    def is_heard(self) -> bool:
        """A policy node is there to hear instructions."""
        return self._instruction.get_subscription_count() > 0

    def instruct(self, sentence: str) -> None:
        """Publish an instruction."""
        self._instruction.publish(String(data=sentence))

    def listen(self, seconds: float) -> None:
        """Take in messages for so long."""
        self._own.wait(seconds)

    def close(self) -> None:
        """Leave the ROS graph."""
        self._own.close()

    def _on_command(self, message: TwistStamped) -> None:
        arrived = self._own.ros.get_clock().now().nanoseconds * 1e-9
        self.commands.append(Command(seconds(message.header.stamp), arrived))

    def _on_provenance(self, message: DiagnosticArray) -> None:
        (status,) = message.status
        values = values_of(status)
        frame, names = float(values["frame (s)"]), ("received", "begun", "decoded", "planned")
        moments = {name: frame + 1e-3 * float(values[f"{name} (ms)"]) for name in names}
        self.steps.append(Step(frame=frame, command=seconds(message.header.stamp), **moments))

    def _on_status(self, message: String) -> None:
        self.status = message.data
