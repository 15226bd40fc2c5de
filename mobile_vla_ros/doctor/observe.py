"""Watch the robot's topics for some seconds, as a node of its own."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

from ..images import AS_SAID, ImageError, ImageRules, camera_messages, check
from ..own_node import OwnNode
from ..stamps import seconds
from .topics import COMPRESSED_IMAGE, IMAGE, Camera, Endpoint, Frame

NODE = "mobile_vla_doctor"
LISTEN = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)  # as policy_node does


@dataclass(frozen=True)
class Observed:
    """What was seen.

    Attributes:
        cameras: of the cameras.
        command: full name of the command topic.
        command_publishers, command_listeners: its ends.
        emergency_stop: full name of the emergency stop's topic.
        emergency_stop_publishers: of it.
        clocks: publishers of /clock.
        now: s, of the node's clock at the end.
    """

    cameras: tuple[Camera, ...]
    command: str
    command_publishers: tuple[Endpoint, ...]
    command_listeners: tuple[Endpoint, ...]
    emergency_stop: str
    emergency_stop_publishers: tuple[Endpoint, ...]
    clocks: int
    now: float


def observe(
    namespace: str,
    images: Sequence[str],
    compressed: bool,
    command: str,
    emergency_stop: str,
    use_sim_time: bool,
    seconds: float,
    rules: ImageRules = AS_SAID,
) -> Observed:
    """Watch for `seconds`.

    Args:
        namespace: of the topics.
        images: topics of the cameras, without /compressed.
        compressed: whether to watch their /compressed.
        command: command topic.
        emergency_stop: topic of the emergency stop.
        use_sim_time: whether ages are counted on /clock.
        seconds: s, for finding everybody and for counting frames.
        rules: What the cameras' images may be.

    Raises:
        RuntimeError: ROS 2 does not start.
    """
    own = OwnNode(
        NODE,
        namespace=namespace,
        start_parameter_services=False,
        parameter_overrides=[Parameter("use_sim_time", value=use_sim_time)],
    )
    try:
        return _watch(own, images, compressed, command, emergency_stop, seconds, rules)
    finally:
        own.close()


def _watch(
    own: OwnNode,
    images: Sequence[str],
    compressed: bool,
    command: str,
    emergency_stop: str,
    seconds: float,
    rules: ImageRules,
) -> Observed:
    node = own.ros
    kind, end_of_topic = camera_messages("compressed" if compressed else "raw")
    frames: dict[str, list[Frame]] = {}
    for image in images:
        topic = node.resolve_topic_name(f"{image}{end_of_topic}")
        arrived = frames[topic] = []
        node.create_subscription(kind, topic, partial(_note, node, arrived, rules), LISTEN)
    own.listen()
    own.wait(seconds)
    expected = COMPRESSED_IMAGE if compressed else IMAGE
    command, emergency_stop = node.resolve_topic_name(command), node.resolve_topic_name(emergency_stop)
    return Observed(
        tuple(
            Camera(topic, expected, _endpoints(node.get_publishers_info_by_topic(topic)), tuple(arrived), seconds)
            for topic, arrived in frames.items()
        ),
        command,
        _endpoints(node.get_publishers_info_by_topic(command)),
        _endpoints(node.get_subscriptions_info_by_topic(command)),
        emergency_stop,
        _endpoints(node.get_publishers_info_by_topic(emergency_stop)),
        node.count_publishers("/clock"),
        _now(node),
    )


def _note(node: Node, frames: list[Frame], rules: ImageRules, message: Any) -> None:
    frames.append(_frame(message, _now(node), rules))


def _now(node: Node) -> float:
    return float(node.get_clock().now().nanoseconds) * 1e-9


def _frame(message: Any, now: float, rules: ImageRules) -> Frame:
    stamp = seconds(message.header.stamp)
    try:
        check(message, rules)
        problem = ""
    except ImageError as error:
        problem = str(error)
    layout = f"{message.encoding}, {message.width} x {message.height}" if isinstance(message, Image) else message.format
    return Frame(time.monotonic(), None if stamp == 0.0 else now - stamp, layout, len(message.data), problem)


def _endpoints(found: list[Any]) -> tuple[Endpoint, ...]:
    return tuple(
        Endpoint(
            f"{end.node_namespace.rstrip('/')}/{end.node_name}",
            end.topic_type,
            end.qos_profile.reliability == ReliabilityPolicy.RELIABLE,
            end.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL,
        )
        for end in found
    )
