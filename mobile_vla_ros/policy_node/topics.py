"""The topics of policy_node: names, types and quality of service."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from functools import partial
from inspect import signature
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import Twist, TwistStamped
from nav_msgs.msg import Odometry
from numpy.typing import NDArray
from rclpy.duration import Duration
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from rclpy.qos import QoSProfile, qos_policy_name_from_kind
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Bool, String

from ..camera_topics import camera_topics
from ..control import Command
from ..control.endpoints import UNKNOWN_NODE, BriefPublishers, Subscriber
from ..images import camera_messages, to_image
from ..qos import EVERY, LATCHED, NEWEST, NEWEST_FRAME, OVERRIDABLE, SEVERAL

try:
    from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import PublisherEventCallbacks, SubscriptionEventCallbacks

ACKNOWLEDGED = Duration(seconds=0.2)  # that a last zero may take to be confirmed
_HAS_MATCHED = "matched" in signature(SubscriptionEventCallbacks).parameters  # not on Humble
_UNKNOWN = "_NODE_NAME_UNKNOWN_"  # what rmw calls the node of a subscription that it knows nothing else of


Tap = Callable[[str, Any], None]  # is called with a topic's full name and a message


@dataclass(frozen=True, eq=False)
class Channel:
    """A topic that the node says or hears; no two are equal.

    Attributes:
        name: fully qualified.
        kind: class of its messages.
        holds: whether its last message holds until the next one.
    """

    name: str
    kind: type
    holds: bool


class Publishers:
    """What policy_node says.

    `cmd_vel` is a managed publisher: it is silent unless the node is active.

    Args:
        node: that says it.
        stamped: TwistStamped instead of Twist.
        base_frame: frame_id of a TwistStamped.
        tap: is called with each message, but for overlays, when it has been sent.
    """

    def __init__(self, node: Any, stamped: bool, base_frame: str, tap: Tap) -> None:
        self._node, self._stamped, self._base_frame, self._tap = node, stamped, base_frame, tap
        self._command = node.create_lifecycle_publisher(
            TwistStamped if stamped else Twist, "cmd_vel", NEWEST, event_callbacks=_told_once(node, "cmd_vel")[0]
        )
        self._status = node.create_publisher(String, "~/status", LATCHED)
        self._instruction = node.create_publisher(String, "~/active_instruction", LATCHED)
        self._diagnostics = node.create_publisher(DiagnosticArray, "/diagnostics", SEVERAL)
        self._provenance = node.create_publisher(DiagnosticArray, "~/provenance", SEVERAL)
        # Best effort: sent once and forgotten, whoever listens.
        self._overlay = node.create_publisher(Image, "~/overlay", NEWEST_FRAME)
        held = (self._status, self._instruction)
        self.channels = [
            Channel(publisher.topic_name, publisher.msg_type, publisher in held)
            for publisher in (self._command, *held, self._diagnostics, self._provenance)
        ]

    def command(self, command: Command) -> Time:
        """Send a command; the time of sending."""
        twist = Twist()
        twist.linear.x = command.linear_x
        twist.angular.z = command.angular_z
        stamp = self._node.get_clock().now().to_msg()
        if not self._stamped:
            self._send(self._command, twist)
            return stamp
        message = TwistStamped(twist=twist)
        message.header.stamp = stamp  # of publishing: who reads it computes ages from it
        message.header.frame_id = self._base_frame
        self._send(self._command, message)
        return stamp

    def wait_for_command(self) -> None:
        """Wait until the last command has arrived, for a moment at most."""
        self._command.wait_for_all_acked(ACKNOWLEDGED)

    def status(self, text: str) -> None:
        """Latch what the node does, and why."""
        self._send(self._status, String(data=text))

    def instruction(self, text: str) -> None:
        """Latch the sentence that is followed; empty: none."""
        self._send(self._instruction, String(data=text))

    def diagnostics(self, message: DiagnosticArray) -> None:
        """Publish on /diagnostics."""
        self._send(self._diagnostics, message)

    def provenance(self, message: DiagnosticArray) -> None:
        """Publish where a command comes from."""
        self._send(self._provenance, message)

    @property
    def command_topic(self) -> str:
        """Full name of the topic that commands are published on."""
        return str(self._command.topic_name)

    @property
    def overlay_wanted(self) -> bool:
        """Somebody subscribes to `~/overlay`."""
        return bool(self._overlay.get_subscription_count() > 0)

    def overlay(self, rgb: NDArray[np.uint8], frame: Image | CompressedImage) -> None:
        """Publish a picture, uint8 (h, w, 3) RGB, with the header of the frame that it was made of."""
        self._overlay.publish(to_image(rgb, frame.header.stamp, frame.header.frame_id))

    def _send(self, publisher: Any, message: Any) -> None:
        publisher.publish(message)
        self._tap(publisher.topic_name, message)


class Subscriptions:
    """What policy_node hears.

    Args:
        node: that hears it.
        with_odometry: Odometry on `odom`, too.
        tap: is called with each message first.
        on_instruction: is called with each String.
        on_emergency_stop: is called with each Bool, in every state of the node.
        on_odometry: is called with each Odometry.
    """

    def __init__(
        self,
        node: Any,
        with_odometry: bool,
        tap: Tap,
        on_instruction: Any,
        on_emergency_stop: Any,
        on_odometry: Any,
    ) -> None:
        self._node, self._tap = node, tap
        self.channels: list[Channel] = []
        self._cameras: dict[Channel, Any] = {}  # their subscriptions
        self._closed: list[Any] = []  # subscriptions that are to be destroyed
        self._destroy = node.create_guard_condition(self._destroy_closed)
        self._speakers = BriefPublishers()
        self._counted_speakers: int | None = None  # publishers of `instruction` at the last look

        def hear_instruction(message: String) -> None:
            self._speakers.hear()
            on_instruction(message)

        self._subscribe(Bool, "emergency_stop", on_emergency_stop, EVERY, OVERRIDABLE, holds=True)
        self._subscribe(String, "instruction", hear_instruction, NEWEST, OVERRIDABLE, True, self._on_speakers)
        if with_odometry:
            self._subscribe(Odometry, "odom", on_odometry, NEWEST_FRAME)

    def open_cameras(self, cameras: Sequence[str], transport: str, on_image: Callable[[str, Any], None]) -> None:
        """Hear cameras, too.

        Args:
            cameras: names; their topics are those of `camera_topics`.
            transport: raw: Image; compressed: CompressedImage, on the topic with `/compressed` at its end.
            on_image: is called with the camera's name and its frame.
        """
        kind, end = camera_messages(transport)
        for camera, topic in zip(cameras, camera_topics(cameras), strict=True):
            subscription = self._subscribe(kind, f"{topic}{end}", partial(on_image, camera), NEWEST_FRAME, OVERRIDABLE)
            self._cameras[self.channels[-1]] = subscription

    def close_cameras(self) -> None:
        """Hear no camera any more.

        The thread that spins destroys the subscriptions: its wait would fail on one that another destroys meanwhile.
        """
        closed, self._cameras = self._cameras, {}
        self.channels = [channel for channel in self.channels if channel not in closed]
        self._closed.extend(closed.values())
        self._destroy.trigger()

    def missed_instruction(self) -> bool:
        """Whether a publisher of `instruction` came and went without a message; to be called a few times a second."""
        steady = time.monotonic()
        if not _HAS_MATCHED:
            count = self._node.count_publishers(self._node.resolve_topic_name("instruction"))
            before = count if self._counted_speakers is None else self._counted_speakers
            self._counted_speakers = count
            self._speakers.change(max(count - before, 0), max(before - count, 0), steady)
        return self._speakers.missed(steady)

    def _on_speakers(self, event: Any) -> None:
        """Note publishers of `instruction` that have connected or disconnected since the last such event."""
        came = event.total_count_change
        self._speakers.change(came, came - event.current_count_change, time.monotonic())

    def _destroy_closed(self) -> None:
        while self._closed:
            self._node.destroy_subscription(self._closed.pop())

    def _subscribe(
        self,
        kind: Any,
        name: str,
        callback: Any,
        quality: QoSProfile,
        options: QoSOverridingOptions | None = None,
        holds: bool = False,
        on_matched: Callable[[Any], None] | None = None,
    ) -> Any:
        events = _told_once(self._node, name, overridable=options is not None)[1]
        if on_matched is not None and _HAS_MATCHED:
            events.matched = on_matched
        channel = Channel(self._node.resolve_topic_name(name), kind, holds)

        def hear(message: Any) -> None:
            if channel in self.channels:  # it may have been closed a moment ago
                self._tap(channel.name, message)
                callback(message)

        self.channels.append(channel)
        return self._node.create_subscription(
            kind,
            name,
            hear,
            copy(quality),  # rclpy writes overrides into what it is given, and other topics are made of it, too
            qos_overriding_options=options,
            event_callbacks=events,
        )


def find_subscribers(node: Node, topics: Sequence[str]) -> dict[str, list[Subscriber]]:
    """Subscriptions of topics, as far as DDS has told.

    Args:
        node: Node whose view of the graph is asked.
        topics: Full names. They are not remapped, which rclpy's public method would do: a node whose `cmd_vel` is
            renamed could not ask for the topic of that name.
    """
    found: dict[str, list[Subscriber]] = {}
    with node.handle:
        for topic in topics:
            ends = rclpy_implementation.rclpy_get_subscriptions_info_by_topic(node.handle, topic, False)
            found[topic] = [
                Subscriber(
                    UNKNOWN_NODE
                    if end["node_name"] == _UNKNOWN
                    else f"{end['node_namespace'].rstrip('/')}/{end['node_name']}",
                    bytes(end["endpoint_gid"]).hex(),
                )
                for end in ends
            ]
    return found


def _told_once(
    node: Node, topic: str, overridable: bool = False
) -> tuple[PublisherEventCallbacks, SubscriptionEventCallbacks]:
    """Callbacks that say, once, that the other end of a topic asks for or offers another quality of service."""
    told: list[str] = []
    advice = "qos_overrides change ours" if overridable else "the other one has to change"

    def tell(event: Any, other: str) -> None:
        policy = qos_policy_name_from_kind(event.last_policy_kind)
        if policy not in told:
            told.append(policy)
            node.get_logger().error(
                f"topic {topic}: {other} whose QoS does not fit ({policy}), so that nothing comes through; "
                f"ros2 topic info --verbose shows both ends; {advice}"
            )

    return (
        PublisherEventCallbacks(incompatible_qos=lambda event: tell(event, "there is a subscription")),
        SubscriptionEventCallbacks(incompatible_qos=lambda event: tell(event, "there is a publisher")),
    )
