"""What makes a frame unusable: a stamp of another time, and a picture that does not change while the robot moves."""

from __future__ import annotations

import math
from collections import deque

from .limits import Limits, Velocity

OTHER_TIME = 1e6  # s: further apart than this are not clocks that disagree, but clocks of different kinds
REMEMBERED = 16  # pictures: more than a driver has buffers
MOVING: Velocity = (0.05, 0.1)  # m/s, rad/s: from here on, motion changes the picture


def moving(limits: Limits) -> Velocity:
    """M/s and rad/s from which on a picture must change: `MOVING`, or half the top speed of a slower robot."""
    fastest = max(limits.linear_x_max, -limits.linear_x_min)
    return min(MOVING[0], fastest / 2.0), min(MOVING[1], limits.angular_z_max / 2.0)


class StampCheck:
    """Refuses frames whose stamps do not advance, or are of another time.

    Args:
        oldest: s, age from which on a frame is of no use.
        future_tolerance: s that a stamp may lie ahead of the clock.
    """

    def __init__(self, oldest: float, future_tolerance: float) -> None:
        self._oldest, self._future_tolerance = oldest, future_tolerance
        self._newest = -math.inf  # stamp, s

    def forget(self) -> None:
        """The clock jumped: stamps from before mean nothing now."""
        self._newest = -math.inf

    def fault(self, stamp: float, now: float) -> str:
        """What is wrong with a frame of this stamp (s) that arrives at `now` (s); empty: nothing."""
        age = now - stamp
        if not math.isfinite(age):
            return f"frame stamped {stamp} s at {now} s"
        if abs(age) > OTHER_TIME:
            return f"frame stamped {stamp:.2f} s at {now:.2f} s: is use_sim_time right?"
        if age < -self._future_tolerance:
            return f"frame stamped {-age:.2f} s in the future"
        if age > self._oldest:
            return f"frame already {age:.2f} s old on arrival"
        if stamp <= self._newest:
            return "frame whose stamp does not advance"
        self._newest = stamp
        return ""


class FrozenCamera:
    """Notices a camera that sends the same pictures again and again although the robot is told to move.

    One that hangs may send its last buffers in turn, so a picture that was among the last `REMEMBERED` is no new one.
    Only the time under way counts: a robot that stands in a simulated room, where nothing flickers, rightly sees the
    same picture for ever. A picture that changes, or a new instruction, begins anew.

    Args:
        timeout: s of motion without a change that are borne.
        name: of the camera, for people.

    Attributes:
        timeout: the same.
        moving: m/s and rad/s, of which one makes a motion.
    """

    def __init__(self, timeout: float, name: str = "camera") -> None:
        self.timeout, self._name = timeout, name
        self.moving = MOVING
        self.clear()

    def clear(self) -> None:
        """Begin anew."""
        self._seen: deque[int] = deque(maxlen=REMEMBERED)  # digests of the last pictures that differ
        self._moved = 0.0  # s under way since the picture changed

    def see(self, digest: int | None) -> None:
        """A frame came; None: its content is not known, and counts as new."""
        if digest in self._seen:
            return
        self._moved = 0.0
        if digest is not None:
            self._seen.append(digest)

    def move(self, velocity: Velocity, seconds: float) -> None:
        """The robot has been told to move with this velocity (m/s, rad/s) for so long."""
        if abs(velocity[0]) >= self.moving[0] or abs(velocity[1]) >= self.moving[1]:
            self._moved += seconds

    @property
    def fault(self) -> str:
        """What is wrong; empty: nothing."""
        frozen = self._moved > self.timeout
        return f"{self._name}: the picture is frozen, the same after {self._moved:.1f} s of driving" if frozen else ""
