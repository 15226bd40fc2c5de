"""The names of the topics that cameras are heard on; no ROS is needed to know them, and launch files do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rclpy.node import Node

COMPRESSED = "/compressed"  # at the end of the name, where frames come as CompressedImage


def camera_topics(cameras: Sequence[str]) -> tuple[str, ...]:
    """Their topics, without `/compressed`: `camera/image_raw` of a single one, `camera/NAME/image_raw` of several."""
    return tuple(f"camera/{name}/image_raw" for name in cameras) if len(cameras) > 1 else ("camera/image_raw",)


def renamed_topics(cameras: str, image: str) -> dict[str, str]:
    """The camera topics of a policy, without `/compressed`, and what they are called here, as launch files are told.

    Args:
        cameras: NAME:=TOPIC, separated by spaces, of a policy with several; empty: it has a single one.
        image: topic of a single one.

    Raises:
        ValueError: a rule of another form, or only one.
    """
    rules = [rule.partition(":=") for rule in cameras.split()]
    if len(rules) == 1 or not all(name and topic for name, _, topic in rules):
        raise ValueError(f"cameras: {cameras}: expected several NAME:=TOPIC; a single camera is image")
    names, topics = [name for name, _, _ in rules], [topic for _, _, topic in rules]
    return dict(zip(camera_topics(names), topics or [image], strict=True))


def with_compressed(topics: Mapping[str, str]) -> list[tuple[str, str]]:
    """Remappings of camera topics, and of their `/compressed`."""
    return [(f"{name}{end}", f"{topic}{end}") for name, topic in topics.items() for end in ("", COMPRESSED)]


def heard_topics(node: Node, cameras: Sequence[str], transport: str) -> dict[str, str]:
    """Full names of the topics that a node hears cameras on, by the cameras' names; without `/compressed`."""
    end = COMPRESSED if transport == "compressed" else ""
    names = zip(cameras, camera_topics(cameras), strict=True)
    return {camera: node.resolve_topic_name(f"{topic}{end}").removesuffix(end) for camera, topic in names}
