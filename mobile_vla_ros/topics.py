"""The topics of policy_node: names, types and quality of service."""

from __future__ import annotations

from typing import Any

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import Twist, TwistStamped
from nav_msgs.msg import Odometry
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSPolicyKind, QoSProfile, ReliabilityPolicy, qos_policy_name_from_kind
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Bool, String

from .control import Command

try:
    from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import PublisherEventCallbacks, SubscriptionEventCallbacks

# A frame that waits is a frame that grows old, and a camera may send reliably or not.
NEWEST_FRAME = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
# Volatile: a latched instruction would make a robot drive that has just been restarted.
NEWEST = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
LATCHED = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
SEVERAL = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
# `qos_overrides./TOPIC.subscription.reliability` and `.durability`, for the camera and the instruction.
OVERRIDABLE = QoSOverridingOptions([QoSPolicyKind.RELIABILITY, QoSPolicyKind.DURABILITY])
ACKNOWLEDGED = Duration(seconds=0.2)  # that a last zero may take to be confirmed


class Publishers:
    """What policy_node says.

    `cmd_vel` is a managed publisher: it is silent unless the node is active.

    Args:
        node: that says it.
        stamped: TwistStamped instead of Twist.
        base_frame: frame_id of a TwistStamped.
    """

    def __init__(self, node: Any, stamped: bool, base_frame: str) -> None:
        self._node, self._stamped, self._base_frame = node, stamped, base_frame
        self._command = node.create_lifecycle_publisher(
            TwistStamped if stamped else Twist, "cmd_vel", NEWEST, event_callbacks=_told_once(node, "cmd_vel")[0]
        )
        self._status = node.create_publisher(String, "~/status", LATCHED)
        self._instruction = node.create_publisher(String, "~/active_instruction", LATCHED)
        self._diagnostics = node.create_publisher(DiagnosticArray, "/diagnostics", SEVERAL)
        self._provenance = node.create_publisher(DiagnosticArray, "~/provenance", SEVERAL)

    def command(self, command: Command) -> Time:
        """Send a command; the time of sending."""
        twist = Twist()
        twist.linear.x = command.linear_x
        twist.angular.z = command.angular_z
        stamp = self._node.get_clock().now().to_msg()
        if not self._stamped:
            self._command.publish(twist)
            return stamp
        message = TwistStamped(twist=twist)
        message.header.stamp = stamp  # of publishing: who reads it computes ages from it
        message.header.frame_id = self._base_frame
        self._command.publish(message)
        return stamp

    def wait_for_command(self) -> None:
        """Wait until the last command has arrived, for a moment at most."""
        self._command.wait_for_all_acked(ACKNOWLEDGED)

    def status(self, text: str) -> None:
        """Latch what the node does, and why."""
        self._status.publish(String(data=text))

    def instruction(self, text: str) -> None:
        """Latch the sentence that is followed; empty: none."""
        self._instruction.publish(String(data=text))

    def diagnostics(self, message: DiagnosticArray) -> None:
        """Publish on /diagnostics."""
        self._diagnostics.publish(message)

    def provenance(self, message: DiagnosticArray) -> None:
        """Publish where a command comes from."""
        self._provenance.publish(message)


def subscribe_emergency_stop(node: Any, callback: Any) -> None:
    """Bool on `emergency_stop`, in every state of the node."""
    node.create_subscription(
        Bool, "emergency_stop", callback, NEWEST, event_callbacks=_told_once(node, "emergency_stop")[1]
    )


def subscribe(
    node: Any, transport: str, with_odometry: bool, on_image: Any, on_instruction: Any, on_odometry: Any
) -> None:
    """Camera, instruction and, where it is used, odometry.

    Args:
        node: that hears them.
        transport: raw: Image on `camera/image_raw`; compressed: CompressedImage on `camera/image_raw/compressed`.
        with_odometry: Odometry on `odom`, too.
        on_image: is called with each frame.
        on_instruction: is called with each String.
        on_odometry: is called with each Odometry.
    """
    compressed = transport == "compressed"
    camera = "camera/image_raw/compressed" if compressed else "camera/image_raw"
    topics: list[tuple[Any, str, Any, QoSProfile, QoSOverridingOptions | None]] = [
        (CompressedImage if compressed else Image, camera, on_image, NEWEST_FRAME, OVERRIDABLE),
        (String, "instruction", on_instruction, NEWEST, OVERRIDABLE),
    ]
    if with_odometry:
        topics.append((Odometry, "odom", on_odometry, NEWEST_FRAME, None))
    for kind, name, callback, quality, options in topics:
        node.create_subscription(
            kind, name, callback, quality, qos_overriding_options=options, event_callbacks=_told_once(node, name)[1]
        )


def _told_once(node: Node, topic: str) -> tuple[PublisherEventCallbacks, SubscriptionEventCallbacks]:
    """Callbacks that say, once, that the other end of a topic asks for or offers another quality of service."""
    told: list[str] = []

    def tell(event: Any, other: str) -> None:
        policy = qos_policy_name_from_kind(event.last_policy_kind)
        if policy not in told:
            told.append(policy)
            node.get_logger().error(
                f"topic {topic}: {other} whose QoS does not fit ({policy}), so that nothing comes through; "
                "ros2 topic info --verbose shows both ends, qos_overrides change ours"
            )

    return (
        PublisherEventCallbacks(incompatible_qos=lambda event: tell(event, "there is a subscription")),
        SubscriptionEventCallbacks(incompatible_qos=lambda event: tell(event, "there is a publisher")),
    )
