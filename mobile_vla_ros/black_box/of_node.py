"""The black box of a node: its topics, and what it says of its recordings."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from rclpy.node import Node

from .recorder import BlackBox, BlackBoxConfig
from .ring import Topic


class Channel(Protocol):
    """A topic that the node says or hears."""

    @property
    def name(self) -> str:
        """Fully qualified."""

    @property
    def kind(self) -> type:
        """Class of its messages."""

    @property
    def holds(self) -> bool:
        """Whether its last message holds until the next one."""


def open_black_box(node: Node, folder: str, seconds: float, megabytes: int, channels: Iterable[Channel]) -> BlackBox:
    """A black box that records all channels, and logs what it has written.

    Args:
        node: for its log.
        folder: of the recordings, and of nothing else.
        seconds: before a trip.
        megabytes: MiB of a recording at most.
        channels: that messages will be added of.
    """
    log = node.get_logger()
    return BlackBox(
        BlackBoxConfig(Path(folder), before=seconds, max_bytes=megabytes * 2**20),
        [Topic(channel.name, _type_of(channel.kind), channel.holds) for channel in channels],
        on_written=lambda path: log.info(f"black box: wrote {path}"),
        on_failure=lambda reason: log.error(f"black box: not written: {reason}"),
    )


def _type_of(kind: type) -> str:
    """The name that ROS has for a class of messages, such as sensor_msgs/msg/Image."""
    return f"{kind.__module__.split('.')[0]}/msg/{kind.__name__}"
