"""The names of the topics that cameras are heard on; no ROS is needed to know them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rclpy.node import Node

COMPRESSED = "/compressed"  # at the end of the name, where frames come as CompressedImage


def camera_topics(cameras: Sequence[str]) -> tuple[str, ...]:
    """Their topics, without `/compressed`: `camera/image_raw` of a single one, `camera/NAME/image_raw` of several."""
    return tuple(f"camera/{name}/image_raw" for name in cameras) if len(cameras) > 1 else ("camera/image_raw",)


def heard_topics(node: Node, cameras: Sequence[str], transport: str) -> dict[str, str]:
    """Full names of the topics that a node hears cameras on, by the cameras' names; without `/compressed`."""
    end = COMPRESSED if transport == "compressed" else ""
    names = zip(cameras, camera_topics(cameras), strict=True)
    return {camera: node.resolve_topic_name(f"{topic}{end}").removesuffix(end) for camera, topic in names}
