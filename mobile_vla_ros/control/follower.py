"""Following plans: which one counts, how one takes over from another, and where on its way the robot is."""

from __future__ import annotations

import math

from .configuration import ControllerConfig
from .limits import REST, Velocity
from .odometry import PoseHistory
from .plan import ActionPlan
from .reprojection import PlannedPath


class PlanFollower:
    """Looks up what the newest plan wants now, blended with those before it for a moment.

    Args:
        config: times.
        poses: of the robot, to follow plans by; None: they are followed by the clock.
    """

    def __init__(self, config: ControllerConfig, poses: PoseHistory | None = None) -> None:
        self._timeout, self._blend = config.plan_timeout, config.blend_time
        self._future_tolerance = config.future_tolerance
        self._poses = poses
        self._plans: list[_Followed] = []  # the newest last, before it those that it still takes over from
        self._looked_up = -math.inf  # `now` of the last `target`, s
        self._newest = -math.inf  # stamp, s

    @property
    def plan(self) -> ActionPlan | None:
        """The plan that is followed; None: none."""
        return self._plans[-1].plan if self._plans else None

    def drop(self) -> None:
        """Follow none."""
        self._plans.clear()

    def forget(self) -> None:
        """Follow none, and take any stamp for the next one."""
        self.drop()
        self._newest = -math.inf

    def follow(self, plan: ActionPlan, now: float, fresh_from: float) -> str | None:
        """Follow a plan from `now` (s) on; the reason if it is refused, else None.

        Args:
            plan: without defect.
            now: s, clock of the frames.
            fresh_from: s, stamp from which on frames count.
        """
        age = now - plan.stamp
        if plan.stamp <= self._newest:
            return f"plan from a frame {self._newest - plan.stamp:.2f} s older than the present one's"
        if not age >= -self._future_tolerance:
            return f"plan from a frame {-age:.2f} s in the future"
        if age > self._timeout or plan.at(now) is None:
            return f"policy too slow: its plan was already {age:.2f} s old"
        if plan.stamp < fresh_from:
            return f"plan from a frame {fresh_from - plan.stamp:.2f} s before the last fault or arming"
        if self._poses is not None and plan.stamp < self._poses.begin:
            return "plan from a frame of before odometry came, or jumped"
        self._newest = plan.stamp
        # The last command was wholly of the plans before: from there they blend into this one.
        self._plans.append(_Followed(plan, min(now, self._looked_up)))
        return None

    def target(self, now: float, velocity: Velocity = REST) -> Velocity | None:
        """Velocity (m/s, rad/s) wanted at `now` (s) after this one; None without a plan, or if it has run out."""
        self._looked_up = now
        if not self._plans or now - self._plans[-1].plan.stamp > self._timeout:
            return None
        # What has been taken over from wholly does not count any more.
        while len(self._plans) > 1 and self._share(self._plans[1], now) >= 1.0:
            del self._plans[0]
        target = self._plans[0].wanted(now, self._poses, velocity)
        for followed in self._plans[1:]:
            wanted, share = followed.wanted(now, self._poses, velocity), self._share(followed, now)
            target = wanted if target is None or wanted is None else _blended(target, wanted, share)
        return target

    def _share(self, followed: _Followed, now: float) -> float:
        """How far a plan has taken over from those before it, in [0, 1]."""
        return min(max((now - followed.since) / self._blend, 0.0), 1.0) if self._blend > 0.0 else 1.0


class _Followed:
    """A plan, and `now` (s) from which on it takes over."""

    def __init__(self, plan: ActionPlan, since: float) -> None:
        self.plan, self.since = plan, since
        self._path: PlannedPath | None = None

    def wanted(self, now: float, poses: PoseHistory | None, velocity: Velocity) -> Velocity | None:
        if poses is None or poses.newest is None:
            return self.plan.at(now)
        if self._path is None:
            start = poses.at(self.plan.stamp)
            # Odometry of the frame's moment may come after the plan; until then nothing is known that the clock is not.
            if start is None:
                return self.plan.at(now)
            self._path = PlannedPath(self.plan, start, poses.limits)
        return self._path.at(now, poses.newest, velocity)


def _blended(one: Velocity, other: Velocity, share: float) -> Velocity:
    return (1.0 - share) * one[0] + share * other[0], (1.0 - share) * one[1] + share * other[1]
