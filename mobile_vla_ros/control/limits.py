"""Motion limits: what they are, how a node may tighten them, and how a velocity is led within them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

Velocity = tuple[float, float]  # linear_x (m/s), angular_z (rad/s)

REST: Velocity = (0.0, 0.0)


@dataclass(frozen=True)
class Limits:
    """Limits of the base's motion.

    They come with the policy: `Limits.of(policy.config.action.limits)`.

    Attributes:
        linear_x_min: m/s, at most 0; 0 forbids reversing.
        linear_x_max: m/s.
        angular_z_max: rad/s, both directions.
        linear_acceleration: m/s^2, speeding up and slowing down.
        angular_acceleration: rad/s^2.
        linear_jerk: m/s^3.
        angular_jerk: rad/s^3.

    Raises:
        ValueError: a value that is not finite or has the wrong sign.
    """

    linear_x_min: float
    linear_x_max: float
    angular_z_max: float
    linear_acceleration: float
    angular_acceleration: float
    linear_jerk: float
    angular_jerk: float

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            below_zero = field.name == "linear_x_min"
            if not (math.isfinite(value) and (value <= 0.0 if below_zero else value > 0.0)):
                expected = "at most 0" if below_zero else "above 0"
                raise ValueError(f"limit {field.name} = {value}: expected a finite number, {expected}")

    @classmethod
    def of(cls, source: object) -> Limits:
        """The limits that `source` has as attributes of the same names.

        Raises:
            AttributeError: one is missing.
            ValueError: a value that is not finite or has the wrong sign.
        """
        return cls(**{field.name: float(getattr(source, field.name)) for field in fields(cls)})

    def tightened(self, changes: Mapping[str, float]) -> Limits:
        """The same limits with some made stricter.

        Args:
            changes: new values by the name of the limit.

        Raises:
            ValueError: an unknown name, or a value that would loosen its limit; the message names both
            values.
        """
        known = [field.name for field in fields(self)]
        for name, value in changes.items():
            if name not in known:
                raise ValueError(f"unknown limit {name!r}; known: {', '.join(known)}")
            own = getattr(self, name)
            if not abs(value) <= abs(own):
                raise ValueError(f"limit {name} = {value} loosens the policy's {own}; it may only be tightened")
        return replace(self, **changes)

    def clipped(self, velocity: Velocity) -> Velocity:
        """The velocity (m/s, rad/s) scaled into the speed limits by one factor, which keeps its curvature.

        Where reversing is forbidden no factor can help: a negative linear_x becomes 0 and angular_z is kept,
        which lets a robot turn in place although its policy answers -0.01 m/s.
        """
        linear_x, angular_z = velocity
        if self.linear_x_min == 0.0:
            linear_x = max(linear_x, 0.0)
        factor = 1.0
        if linear_x != 0.0:
            factor = min(factor, (self.linear_x_max if linear_x > 0.0 else self.linear_x_min) / linear_x)
        if angular_z != 0.0:
            factor = min(factor, self.angular_z_max / abs(angular_z))
        return (
            min(max(factor * linear_x, self.linear_x_min), self.linear_x_max),  # rounding
            min(max(factor * angular_z, -self.angular_z_max), self.angular_z_max),
        )


@dataclass(frozen=True)
class _Axis:
    minimum: float
    maximum: float
    acceleration: float
    jerk: float


class VelocityLimiter:
    """Leads a velocity towards its target within limits of speed, acceleration and jerk.

    Both axes move by one factor, so a robot that speeds up from rest or slows down to rest keeps its
    curvature. Only where that factor would break a limit of one axis (the target changed in mid-ramp) does
    that axis give way. Speed and acceleration limits hold at every step of any length. Jerk, where each
    step's acceleration is its change of velocity divided by its length, holds too but for a thousandth, which
    lets a ramp end.

    Attributes:
        velocity: present velocity (m/s, rad/s).
    """

    _LAST_STEP = 1e-3  # of jerk * dt^2: closer than this, the target is taken

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._axes = (
            _Axis(limits.linear_x_min, limits.linear_x_max, limits.linear_acceleration, limits.linear_jerk),
            _Axis(-limits.angular_z_max, limits.angular_z_max, limits.angular_acceleration, limits.angular_jerk),
        )
        self.stop()

    def stop(self) -> None:
        """Be at rest at once: for faults, where limits of comfort do not count."""
        self.velocity: Velocity = REST
        self._acceleration: tuple[float, float] = (0.0, 0.0)

    @property
    def at_rest(self) -> bool:
        """Whether the velocity is exactly zero and stays so without a new target."""
        return self.velocity == REST and self._acceleration == (0.0, 0.0)

    def towards(self, target: Velocity, dt: float) -> Velocity:
        """Move `dt` (s, above 0) nearer to `target` (m/s, rad/s), which is clipped to the speed limits first.

        Raises:
            ValueError: a target that is not finite, a dt that is not above 0.
        """
        if not (math.isfinite(target[0]) and math.isfinite(target[1]) and 0.0 < dt < math.inf):
            raise ValueError(f"target {target}, dt {dt} s: expected finite numbers, dt above 0")
        target = self._limits.clipped(target)
        way = (target[0] - self.velocity[0], target[1] - self.velocity[1])
        if all(
            abs(d) <= self._LAST_STEP * axis.jerk * dt**2 and abs(a) <= axis.jerk * dt
            for axis, d, a in zip(self._axes, way, self._acceleration, strict=True)
        ):
            self.velocity, self._acceleration = target, (0.0, 0.0)
            return self.velocity
        wanted = self._along(way, dt)
        change = (wanted[0] - self._acceleration[0], wanted[1] - self._acceleration[1])
        factor = min([1.0, *(axis.jerk * dt / abs(c) for c, axis in zip(change, self._axes, strict=True) if c != 0.0)])
        steps = [
            _feasible(axis, v, a, a + factor * c, dt)
            for axis, v, a, c in zip(self._axes, self.velocity, self._acceleration, change, strict=True)
        ]
        (linear_x, linear_acceleration), (angular_z, angular_acceleration) = steps
        self.velocity, self._acceleration = (linear_x, angular_z), (linear_acceleration, angular_acceleration)
        return self.velocity

    def _along(self, way: Velocity, dt: float) -> Velocity:
        """Greatest acceleration along `way` that suits both axes and can still end at the target."""
        moving = [(abs(d), axis) for d, axis in zip(way, self._axes, strict=True) if d != 0.0]
        if not moving:
            return REST
        # In units of the way still to go: 1/s^2 and 1/s^3.
        acceleration = min(axis.acceleration / d for d, axis in moving)
        jerk = min(axis.jerk / d for d, axis in moving)
        factor = min(acceleration, _landing(1.0, jerk, dt))
        return factor * way[0], factor * way[1]


def _landing(way: float, jerk: float, dt: float) -> float:
    """Greatest acceleration for the next `dt` after which it can fall to zero, at this jerk, within `way`.

    Solves a * dt + a^2 / (2 * jerk) = way: the step itself, then the way that the fall of the acceleration
    takes.
    """
    way = max(way, 0.0)
    # Written as a quotient: the difference of the root and dt would cancel for short ways.
    return 2.0 * way / (dt + math.sqrt(dt**2 + 2.0 * way / jerk))


def _feasible(axis: _Axis, velocity: float, before: float, wanted: float, dt: float) -> tuple[float, float]:
    """The next velocity and acceleration of one axis, nearest to `wanted` within all three limits."""
    low = max(-axis.acceleration, before - axis.jerk * dt, -_landing(velocity - axis.minimum, axis.jerk, dt))
    high = min(axis.acceleration, before + axis.jerk * dt, _landing(axis.maximum - velocity, axis.jerk, dt))
    acceleration = min(max(wanted, low), high)
    return min(max(velocity + acceleration * dt, axis.minimum), axis.maximum), acceleration
