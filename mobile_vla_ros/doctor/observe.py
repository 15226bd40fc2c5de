"""Watch the robot's topics for some seconds, as a node of its own."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from rcl_interfaces.msg import ParameterType
from rcl_interfaces.srv import GetParameters
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import String

from ..control.endpoints import Subscriber
from ..images import AS_SAID, ImageError, ImageRules, camera_messages, check
from ..own_node import OwnNode
from ..stamps import seconds
from .chain import TIMEOUTS
from .topics import COMPRESSED_IMAGE, IMAGE, Camera, Endpoint, Frame, Speaker

NODE = "mobile_vla_doctor"
ANSWER = 2.0  # s for the listeners' parameter services
DISCOVERED = 2.0  # s after which who is seen for the first time has come only now
LOOK = 0.1  # s between looks at who publishes `instruction`
HEAR = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
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
        timeouts: Parameter and value, in s, of the time-out of each node that subscribes to commands; None: not known.
        instruction: Full name of the topic of instructions.
        speakers: Publishers of instructions.
        sentences: Instructions that arrived.
        clocks: publishers of /clock.
        now: s, of the node's clock at the end.
    """

    cameras: tuple[Camera, ...]
    command: str
    command_publishers: tuple[Endpoint, ...]
    command_listeners: tuple[Endpoint, ...]
    emergency_stop: str
    emergency_stop_publishers: tuple[Endpoint, ...]
    timeouts: Mapping[str, tuple[str, float] | None]
    instruction: str
    speakers: tuple[Speaker, ...]
    sentences: tuple[str, ...]
    clocks: int
    now: float


def observe(
    namespace: str,
    images: Sequence[str],
    compressed: bool,
    command: str,
    emergency_stop: str,
    instruction: str,
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
        instruction: Topic of instructions.
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
        return _watch(own, images, compressed, command, emergency_stop, instruction, seconds, rules)
    finally:
        own.close()


def _watch(
    own: OwnNode,
    images: Sequence[str],
    compressed: bool,
    command: str,
    emergency_stop: str,
    instruction: str,
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
    instruction = node.resolve_topic_name(instruction)
    sentences: list[str] = []
    node.create_subscription(String, instruction, lambda message: sentences.append(message.data), HEAR)
    own.listen()
    speakers = _watch_speakers(own, instruction, seconds)
    expected = COMPRESSED_IMAGE if compressed else IMAGE
    command, emergency_stop = node.resolve_topic_name(command), node.resolve_topic_name(emergency_stop)
    listeners = _endpoints(node.get_subscriptions_info_by_topic(command))
    return Observed(
        tuple(
            Camera(topic, expected, _endpoints(node.get_publishers_info_by_topic(topic)), tuple(arrived), seconds)
            for topic, arrived in frames.items()
        ),
        command,
        _endpoints(node.get_publishers_info_by_topic(command)),
        listeners,
        emergency_stop,
        _endpoints(node.get_publishers_info_by_topic(emergency_stop)),
        _timeouts(own, sorted({listener.node for listener in listeners})),
        instruction,
        speakers,
        tuple(sentences),
        node.count_publishers("/clock"),
        _now(node),
    )


def _watch_speakers(own: OwnNode, topic: str, seconds: float) -> tuple[Speaker, ...]:
    """Watch for `seconds` who publishes; in the first half who is there is still being discovered."""
    begin = time.monotonic()
    nodes: dict[bytes, str] = {}
    first: dict[bytes, float] = {}
    present: set[bytes] = set()
    while (passed := time.monotonic() - begin) < seconds:
        present = set()
        for end in own.ros.get_publishers_info_by_topic(topic):
            gid = bytes(end.endpoint_gid)
            present.add(gid)
            first.setdefault(gid, passed)
            nodes[gid] = f"{end.node_namespace.rstrip('/')}/{end.node_name}"
        own.wait(min(LOOK, seconds))
    return tuple(
        Speaker(node, came=first[gid] > min(DISCOVERED, seconds / 2.0), went=gid not in present)
        for gid, node in nodes.items()
    )


def _timeouts(own: OwnNode, nodes: Sequence[str]) -> dict[str, tuple[str, float] | None]:
    """What nodes say of their time-outs; each parameter is asked for alone, since rclcpp answers all or nothing."""
    asked: dict[str, dict[str, Any]] = {}
    asking = [node for node in nodes if not Subscriber(node, "").is_tool]
    clients: dict[str, Any] = {node: own.ros.create_client(GetParameters, f"{node}/get_parameters") for node in asking}
    end = time.monotonic() + ANSWER
    while time.monotonic() < end:
        for node, client in clients.items():
            if node not in asked and client.service_is_ready():
                asked[node] = {name: client.call_async(GetParameters.Request(names=[name])) for name in TIMEOUTS}
        if len(asked) == len(asking) and all(one.done() for ones in asked.values() for one in ones.values()):
            break
        own.wait(LOOK)
    found: dict[str, tuple[str, float] | None] = dict.fromkeys(asking)
    for node, futures in asked.items():
        for name, future in futures.items():
            values = future.result().values if future.done() else []
            if values and values[0].type == ParameterType.PARAMETER_DOUBLE:
                found[node] = (name, values[0].double_value)
    return found


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
