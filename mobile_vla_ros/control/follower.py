"""Following plans: which one counts, and how one takes over from another."""

from __future__ import annotations

import math

from .configuration import ControllerConfig
from .limits import Velocity
from .plan import ActionPlan


class PlanFollower:
    """Looks up what the newest plan wants now, blended with the plan before it for a moment.

    Attributes:
        plan: that is followed; None: none.
    """

    def __init__(self, config: ControllerConfig) -> None:
        self._timeout, self._blend = config.plan_timeout, config.blend_time
        self._future_tolerance = config.future_tolerance
        self.plan: ActionPlan | None = None
        self._before: ActionPlan | None = None
        self._taken_over = -math.inf  # `now` from which on `plan` takes over, s
        self._looked_up = -math.inf  # `now` of the last `target`, s
        self._newest = -math.inf  # stamp, s

    def drop(self) -> None:
        """Follow none."""
        self.plan = self._before = None

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
        self._newest = plan.stamp
        # The last command was wholly of the plan before: from there one blends into the other.
        self._before, self.plan, self._taken_over = self.plan, plan, min(now, self._looked_up)
        return None

    def target(self, now: float) -> Velocity | None:
        """Velocity (m/s, rad/s) wanted at `now` (s); None without a plan, or if it has run out."""
        self._looked_up = now
        if self.plan is None or now - self.plan.stamp > self._timeout:
            return None
        wanted = self.plan.at(now)
        before = None if self._before is None else self._before.at(now)
        share = (now - self._taken_over) / self._blend if self._blend > 0.0 else 1.0
        if wanted is None or before is None or share >= 1.0:
            self._before = None
            return wanted
        share = max(share, 0.0)
        return (1.0 - share) * before[0] + share * wanted[0], (1.0 - share) * before[1] + share * wanted[1]
