"""Times of ROS messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from builtin_interfaces.msg import Time


def nanoseconds(stamp: Time) -> int:
    """A message's time in ns, exactly."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def seconds(stamp: Time) -> float:
    """A message's time in s, to a quarter of a microsecond for a clock that counts from 1970."""
    return float(stamp.sec) + float(stamp.nanosec) * 1e-9
