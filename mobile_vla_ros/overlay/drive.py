"""What the overlay tells of the robot."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Drive:
    """What the robot is about to do, and why.

    Attributes:
        state: a value of `DriveState`.
        reason: for standing still or slowing down; empty while all is well.
        instruction: the sentence that is followed; empty if none is.
        linear_x: m/s that are commanded, forward.
        angular_z: rad/s that are commanded, counter-clockwise.
        plan: float (n, 2); velocities (m/s, rad/s) one after the other from now on; n may be 0.
        dt: s that each of them lasts.
        stop: probability that the task is done; None while the policy has not said.

    Raises:
        ValueError: a value that is not finite or out of range; the message names it.
    """

    state: str
    reason: str
    instruction: str
    linear_x: float
    angular_z: float
    plan: NDArray[np.floating]
    dt: float
    stop: float | None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.linear_x) and math.isfinite(self.angular_z)):
            raise ValueError(f"command is {self.linear_x} m/s, {self.angular_z} rad/s: expected finite numbers")
        if self.plan.ndim != 2 or self.plan.shape[1] != 2:
            raise ValueError(f"plan has shape {self.plan.shape}: expected (n, 2)")
        if not np.isfinite(self.plan).all():
            raise ValueError("plan is not finite")
        if not (math.isfinite(self.dt) and self.dt > 0.0):
            raise ValueError(f"dt is {self.dt} s: expected finite, above 0")
        if self.stop is not None and not 0.0 <= self.stop <= 1.0:
            raise ValueError(f"stop is {self.stop}: expected a probability in [0, 1]")
