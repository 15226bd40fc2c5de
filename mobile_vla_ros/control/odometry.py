"""Where the robot was when: the last poses of odometry."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import astuple, dataclass, replace

from .limits import Limits

MOST_POSES = 1000  # that are remembered: 10 s at 100 Hz
# Further than the limits allow at this multiple of the top speeds, and by more than this, no robot moves: it is the
# odometry that jumped. It never should: REP-105 has it continuous, and leaves jumps to the map frame.
FASTER = 3.0
LEAP = (0.05, 0.1)  # m, rad


@dataclass(frozen=True)
class StampedPose:
    """A pose in the odom frame.

    Attributes:
        stamp: s, on the clock that stamps frames.
        x, y: m.
        yaw: rad, counter-clockwise.
    """

    stamp: float
    x: float
    y: float
    yaw: float


class PoseHistory:
    """The last poses, oldest first, their yaw unwound.

    Args:
        limits: of the motion, by which jumps are told from motion.

    Attributes:
        limits: the same.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._speed = max(limits.linear_x_max, -limits.linear_x_min), limits.angular_z_max
        self._poses: deque[StampedPose] = deque(maxlen=MOST_POSES)

    @property
    def newest(self) -> StampedPose | None:
        """The last pose."""
        return self._poses[-1] if self._poses else None

    @property
    def begin(self) -> float:
        """Stamp (s) of the oldest pose."""
        return self._poses[0].stamp if self._poses else math.inf

    def forget(self) -> None:
        """Begin anew."""
        self._poses.clear()

    def takes(self, pose: StampedPose) -> bool:
        """Whether a pose can be used: finite, and later than the last one."""
        return all(map(math.isfinite, astuple(pose))) and (not self._poses or pose.stamp > self._poses[-1].stamp)

    def add(self, pose: StampedPose) -> bool:
        """Note a pose that it takes; whether odometry went on. If it jumped, what was before is forgotten."""
        last = self.newest
        if last is None:
            self._poses.append(pose)
            return True
        pose = replace(pose, yaw=last.yaw + math.remainder(pose.yaw - last.yaw, math.tau))
        seconds = pose.stamp - last.stamp
        way = math.hypot(pose.x - last.x, pose.y - last.y), abs(pose.yaw - last.yaw)
        jumped = any(
            moved > FASTER * most * seconds + leap for moved, most, leap in zip(way, self._speed, LEAP, strict=True)
        )
        if jumped:
            self.forget()
        self._poses.append(pose)
        return not jumped

    def at(self, stamp: float) -> StampedPose | None:
        """The pose at `stamp` (s), linear between two; None before the first and after the last."""
        after: StampedPose | None = None
        for pose in reversed(self._poses):
            if pose.stamp <= stamp:
                return _between(pose, after, stamp) if after is not None else pose if pose.stamp == stamp else None
            after = pose
        return None


def _between(before: StampedPose, after: StampedPose, stamp: float) -> StampedPose:
    share = (stamp - before.stamp) / (after.stamp - before.stamp)
    x, y, yaw = (
        one + share * (other - one)
        for one, other in ((before.x, after.x), (before.y, after.y), (before.yaw, after.yaw))
    )
    return StampedPose(stamp, x, y, yaw)
