"""One frame of a camera's topic."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mobile_vla_models.console.errors import ConsoleError

if TYPE_CHECKING:
    from ..own_node import OwnNode

IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
TIMEOUT = 5.0  # s
NODE = "mobile_vla_console"
_LOOK = 0.05  # s between looks


def receive_frame(topic: str, timeout: float = TIMEOUT) -> NDArray[np.uint8]:
    """The next frame of a topic of sensor_msgs Image or CompressedImage, as uint8 (height, width, 3) RGB.

    Args:
        topic: absolute, such as /camera/image_raw.
        timeout: s, for finding the topic and for its next frame together.

    Raises:
        ConsoleError: ROS 2 is not installed or does not start, no such topic, of another type, or no frame in time.
        ValueError: a frame that cannot be used; names what is wrong.
    """
    try:
        from ..images import to_rgb
        from ..own_node import OwnNode
    except ImportError as error:
        raise ConsoleError(f"topic {topic}: the Python package {error.name} of ROS 2 cannot be imported") from error

    end = time.monotonic() + timeout
    try:
        own = OwnNode(NODE, start_parameter_services=False)
    except RuntimeError as error:
        raise ConsoleError(f"topic {topic}: ROS 2 does not start ({error})") from error
    try:
        return to_rgb(_next_message(own, topic, end, timeout))
    finally:
        own.close()


def _next_message(own: OwnNode, topic: str, end: float, timeout: float) -> Any:
    """The first message that arrives before `end`, s monotonic."""
    from rclpy.qos import QoSProfile, ReliabilityPolicy
    from sensor_msgs.msg import CompressedImage, Image

    node = own.ros
    where = f"within {timeout:g} s on ROS domain {os.environ.get('ROS_DOMAIN_ID') or 0}"
    while not (types := dict(node.get_topic_names_and_types()).get(topic, [])):
        if time.monotonic() > end:
            raise ConsoleError(f"no topic {topic} {where}")
        time.sleep(_LOOK)
    if types not in ([IMAGE], [COMPRESSED]):
        raise ConsoleError(f"topic {topic} has type {', '.join(types)}: expected {IMAGE} or {COMPRESSED}")
    messages: list[Any] = []
    # Best effort hears every camera, whether it publishes reliably or not.
    quality = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    node.create_subscription(Image if types == [IMAGE] else CompressedImage, topic, messages.append, quality)
    own.listen()
    while not messages:
        if time.monotonic() > end:
            raise ConsoleError(f"topic {topic} exists, but no frame came {where}")
        own.wait(_LOOK)
    return messages[0]
