"""What makes a frame unusable: a stamp of another time, and a picture that does not change while the robot moves."""

from __future__ import annotations

import math
from collections import deque

from .limits import Limits, Velocity

OTHER_TIME = 1e6  # s: further apart than this are not clocks that disagree, but clocks of different kinds
REMEMBERED = 16  # pictures: more than a driver has buffers
_ROUNDING = 1e-9
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
    same picture for ever. However slowly it moves, it goes no farther than `most` while the picture does not change. A
    picture that changes, or a new instruction, begins anew.

    Args:
        timeout: s of motion without a change that are borne.
        most: m and rad of motion without a change that are borne.
        name: of the camera, for people.

    Attributes:
        timeout, most: the same.
        moving: m/s and rad/s, of which one makes a motion.
    """

    def __init__(self, timeout: float, most: tuple[float, float], name: str = "camera") -> None:
        self.timeout, self.most, self._name = timeout, most, name
        self.moving = MOVING
        self.clear()

    def clear(self) -> None:
        """Begin anew."""
        self._seen: deque[int] = deque(maxlen=REMEMBERED)  # digests of the last pictures that differ
        self._begin()

    def _begin(self) -> None:
        self._moved = 0.0  # s under way since the picture changed
        self._way = (0.0, 0.0)  # m, rad since then
        self._ahead = (0.0, 0.0)  # m, rad: of two steps more, for a picture may change just after a step

    def see(self, digest: int | None) -> None:
        """A frame came; None: its content is not known, and counts as new."""
        if digest in self._seen:
            return
        self._begin()
        if digest is not None:
            self._seen.append(digest)

    def move(self, velocity: Velocity, seconds: float) -> None:
        """The robot has been told to move with this velocity (m/s, rad/s) for so long."""
        speeds = abs(velocity[0]), abs(velocity[1])
        if speeds[0] >= self.moving[0] or speeds[1] >= self.moving[1]:
            self._moved += seconds
        self._way = self._way[0] + speeds[0] * seconds, self._way[1] + speeds[1] * seconds
        self._ahead = 2.0 * speeds[0] * seconds, 2.0 * speeds[1] * seconds

    @property
    def fault(self) -> str:
        """What is wrong; empty: nothing."""
        if self._moved > self.timeout:
            return f"{self._name}: the picture is frozen, the same after {self._moved:.1f} s of driving"
        (way, turn), (way_ahead, turn_ahead) = self._way, self._ahead
        if way + way_ahead > self.most[0] + _ROUNDING or turn + turn_ahead > self.most[1] + _ROUNDING:
            degrees = math.degrees(turn)
            return f"{self._name}: the picture is frozen, the same after {way:.2f} m and {degrees:.0f} degrees"
        return ""
