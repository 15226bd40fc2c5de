"""Watch the robot's topics for some seconds, as a node of its own."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CompressedImage, Image

from ..images import ImageError, check
from .topics import COMPRESSED_IMAGE, IMAGE, Camera, Endpoint, Frame

NODE = "mobile_vla_doctor"
LISTEN = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)  # as policy_node does
STEP = 0.05  # s


@dataclass(frozen=True)
class Observed:
    """What was seen.

    Attributes:
        camera: of the camera.
        command: full name of the command topic.
        command_publishers, command_listeners: its ends.
        clocks: publishers of /clock.
        now: s, of the node's clock at the end.
    """

    camera: Camera
    command: str
    command_publishers: tuple[Endpoint, ...]
    command_listeners: tuple[Endpoint, ...]
    clocks: int
    now: float


def observe(namespace: str, image: str, compressed: bool, command: str, use_sim_time: bool, seconds: float) -> Observed:
    """Watch for `seconds`.

    Args:
        namespace: of the topics.
        image: camera topic, without /compressed.
        compressed: whether to watch its /compressed.
        command: command topic.
        use_sim_time: whether ages are counted on /clock.
        seconds: s, for finding everybody and for counting frames.

    Raises:
        RuntimeError: ROS 2 does not start.
    """
    context = Context()
    # Without handlers of its own, so that Ctrl-C goes on interrupting the command.
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    try:
        node = rclpy.create_node(
            NODE,
            context=context,
            namespace=namespace,
            enable_rosout=False,
            start_parameter_services=False,
            parameter_overrides=[Parameter("use_sim_time", value=use_sim_time)],
        )
        try:
            return _watch(node, context, f"{image}/compressed" if compressed else image, compressed, command, seconds)
        finally:
            node.destroy_node()
    finally:
        rclpy.shutdown(context=context)


def _watch(node: Node, context: Context, image: str, compressed: bool, command: str, seconds: float) -> Observed:
    frames: list[Frame] = []

    def on_frame(message: Any) -> None:
        frames.append(_frame(message, _now(node)))

    subscription = node.create_subscription(CompressedImage if compressed else Image, image, on_frame, LISTEN)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            executor.spin_once(timeout_sec=STEP)
    finally:
        executor.shutdown()
    topic, expected = subscription.topic_name, COMPRESSED_IMAGE if compressed else IMAGE
    command = node.resolve_topic_name(command)
    return Observed(
        Camera(topic, expected, _endpoints(node.get_publishers_info_by_topic(topic)), tuple(frames), seconds),
        command,
        _endpoints(node.get_publishers_info_by_topic(command)),
        _endpoints(node.get_subscriptions_info_by_topic(command)),
        node.count_publishers("/clock"),
        _now(node),
    )


def _now(node: Node) -> float:
    return float(node.get_clock().now().nanoseconds) * 1e-9


def _frame(message: Any, now: float) -> Frame:
    stamp = message.header.stamp.sec + message.header.stamp.nanosec * 1e-9
    try:
        check(message)
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
