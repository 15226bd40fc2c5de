"""Limits of motion and of braking: what they are, how they are tightened, and how a velocity is led within them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

Velocity = tuple[float, float]  # linear_x (m/s), angular_z (rad/s)

REST: Velocity = (0.0, 0.0)
ONSET = 0.1  # s in which braking reaches its deceleration
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Limits:
    """Limits of motion while a plan is followed.

    The policy has its own, `Limits.of(policy.config.action.limits)`; the base's hold as well, see `within`.

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

    def within(self, other: Limits) -> Limits:
        """The tighter of both, field by field."""
        return Limits(
            **{field.name: min(getattr(self, field.name), getattr(other, field.name), key=abs) for field in _FIELDS}
        )

    @property
    def linear_speed(self) -> float:
        """Top speed in m/s, forwards or backwards."""
        return max(self.linear_x_max, -self.linear_x_min)

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


_FIELDS = fields(Limits)


@dataclass(frozen=True)
class Braking:
    """How quickly the robot slows down to rest where no plan is followed.

    It belongs to the base: limits that are tightened for comfort make no stop longer.

    Attributes:
        linear_deceleration: m/s^2.
        angular_deceleration: rad/s^2.
        linear_jerk: m/s^3.
        angular_jerk: rad/s^3.
    """

    linear_deceleration: float
    angular_deceleration: float
    linear_jerk: float
    angular_jerk: float

    def roll(self, limits: Limits) -> float:
        """Seconds to rest from the top speeds of `limits`; both axes slow down together, which keeps the curvature."""
        axes = (
            (limits.linear_speed, self.linear_deceleration, self.linear_jerk),
            (limits.angular_z_max, self.angular_deceleration, self.angular_jerk),
        )
        return max(speed / rate for speed, rate, _ in axes) + max(rate / jerk for _, rate, jerk in axes)


@dataclass(frozen=True)
class BaseLimits(Limits):
    """Limits of the base itself; the defaults are the most that a wheeled base of common size is trusted with.

    Attributes:
        linear_deceleration: m/s^2, at least so quickly it brakes.
        angular_deceleration: rad/s^2, likewise.
    """

    linear_x_min: float = -2.0
    linear_x_max: float = 2.0
    angular_z_max: float = 4.0
    linear_acceleration: float = 3.0
    angular_acceleration: float = 10.0
    linear_jerk: float = 50.0
    angular_jerk: float = 200.0
    linear_deceleration: float = 1.0
    angular_deceleration: float = 3.0

    def braking(self, own: Limits) -> Braking:
        """How the base brakes under a policy with these limits: never more gently than it speeds up."""
        held = own.within(self)
        return Braking(
            max(self.linear_deceleration, held.linear_acceleration),
            max(self.angular_deceleration, held.angular_acceleration),
            max(self.linear_deceleration / ONSET, held.linear_jerk),
            max(self.angular_deceleration / ONSET, held.angular_jerk),
        )


@dataclass(frozen=True)
class _Axis:
    minimum: float
    maximum: float
    acceleration: float
    jerk: float


class VelocityLimiter:
    """Leads a velocity to its target within limits of speed, acceleration and jerk, or to rest within those of braking.

    Both axes move by one factor, so a robot that speeds up from rest or slows down to rest keeps its
    curvature. Only where that factor would break a limit of one axis (the target changed in mid-ramp) does
    that axis give way. Speed and acceleration limits hold at every step of any length. Jerk, where each
    step's acceleration is its change of velocity divided by its length, holds too but for a thousandth, which
    lets a ramp end, and but for braking, which ends at once what would make the robot faster.

    Args:
        limits: Limits of motion towards a target.
        braking: Limits of the way to rest, where the greater of both holds; None: those of `BaseLimits()`.

    Attributes:
        velocity: present velocity (m/s, rad/s).
    """

    _LAST_STEP = 1e-3  # of jerk * dt^2: closer than this, the target is taken

    def __init__(self, limits: Limits, braking: Braking | None = None) -> None:
        self._limits = limits
        braking = braking or BaseLimits().braking(limits)
        self._axes = (
            _Axis(limits.linear_x_min, limits.linear_x_max, limits.linear_acceleration, limits.linear_jerk),
            _Axis(-limits.angular_z_max, limits.angular_z_max, limits.angular_acceleration, limits.angular_jerk),
        )
        rates = (
            (braking.linear_deceleration, braking.linear_jerk),
            (braking.angular_deceleration, braking.angular_jerk),
        )
        self._brakes = tuple(
            replace(axis, acceleration=max(axis.acceleration, rate), jerk=max(axis.jerk, jerk))
            for axis, (rate, jerk) in zip(self._axes, rates, strict=True)
        )
        self.stop()

    def stop(self) -> None:
        """Be at rest at once: for faults, where limits of comfort do not count."""
        self.velocity: Velocity = REST
        self._acceleration: tuple[float, ...] = (0.0, 0.0)
        self._left: tuple[float, ...] = (0.0, 0.0)  # acceleration that braking has left behind

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
        # What is left of braking ends as it began: by the limits of comfort it might turn the robot round.
        self._left = tuple(
            left if a * left > _ROUNDING else 0.0 for a, left in zip(self._acceleration, self._left, strict=True)
        )
        axes = [brake if left else axis for axis, brake, left in zip(self._axes, self._brakes, self._left, strict=True)]
        return self._step(self._limits.clipped(target), dt, self._axes, axes)

    def brake(self, dt: float) -> Velocity:
        """Move `dt` (s, above 0) nearer to rest: along neither axis faster than before, nor beyond zero.

        Raises:
            ValueError: a dt that is not above 0.
        """
        if not 0.0 < dt < math.inf:
            raise ValueError(f"dt {dt} s: expected a finite number above 0")
        last = self.velocity
        # An acceleration that would make the robot faster, or turn it round, ends at once.
        self._acceleration = tuple(a if a * v < 0.0 else 0.0 for a, v in zip(self._acceleration, last, strict=True))
        linear_x, angular_z = self._step(REST, dt, self._brakes, self._brakes)
        self.velocity = (linear_x if linear_x * last[0] > 0.0 else 0.0, angular_z if angular_z * last[1] > 0.0 else 0.0)
        self._acceleration = self._left = tuple(
            a if v != 0.0 else 0.0 for a, v in zip(self._acceleration, self.velocity, strict=True)
        )
        return self.velocity

    def _step(self, target: Velocity, dt: float, wanted_by: Sequence[_Axis], held_by: Sequence[_Axis]) -> Velocity:
        """One step: its acceleration is chosen within the limits `wanted_by`, and changes within those `held_by`."""
        way = (target[0] - self.velocity[0], target[1] - self.velocity[1])
        if all(
            abs(d) <= self._LAST_STEP * axis.jerk * dt**2 and abs(a) <= axis.jerk * dt
            for axis, d, a in zip(held_by, way, self._acceleration, strict=True)
        ):
            self.velocity, self._acceleration = target, (0.0, 0.0)
            return self.velocity
        wanted = _along(wanted_by, way, dt)
        change = (wanted[0] - self._acceleration[0], wanted[1] - self._acceleration[1])
        factor = min([1.0, *(axis.jerk * dt / abs(c) for c, axis in zip(change, held_by, strict=True) if c != 0.0)])
        steps = [
            _feasible(axis, v, a, a + factor * c, dt)
            for axis, v, a, c in zip(held_by, self.velocity, self._acceleration, change, strict=True)
        ]
        (linear_x, linear_acceleration), (angular_z, angular_acceleration) = steps
        self.velocity, self._acceleration = (linear_x, angular_z), (linear_acceleration, angular_acceleration)
        return self.velocity


def _along(axes: Sequence[_Axis], way: Velocity, dt: float) -> Velocity:
    """Greatest acceleration along `way` that suits both axes and can still end at the target."""
    moving = [(abs(d), axis) for d, axis in zip(way, axes, strict=True) if d != 0.0]
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
