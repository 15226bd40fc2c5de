"""How far the robot may go after its last good information, whatever has gone silent, frozen or old."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .configuration import ControllerConfig
from .limits import Braking, Limits

_ROUNDING = 1e-9


@dataclass(frozen=True)
class BlindWay:
    """One way of being blind, at top speed until the time-out that ends it.

    Attributes:
        parameter: Name of the time-out.
        timeout: Its value, s.
        distance: m from the last good information to rest.
        angle: rad from the last good information to rest.
        ramp: Share of both that is a ramp to rest (m, rad); zero where the command is zero at once.
    """

    parameter: str
    timeout: float
    distance: float
    angle: float
    ramp: tuple[float, float]


def blind_ways(
    config: ControllerConfig, limits: Limits, braking: Braking, emergency_stop_timeout: float = 0.0
) -> tuple[BlindWay, ...]:
    """Every way of being blind while the control loop keeps its rate.

    A time-out that ends in a zero at once is noticed within two control periods: a message may wait to be read for one,
    the tick comes within another. A plan counts from its frame's stamp; when it is too old the robot slows down, from
    the next tick on. That bounds a policy which hangs, is slow or answers with old plans, whatever `policy_timeout` is.

    Args:
        config: Time-outs.
        limits: Limits of motion in force, which say the top speeds.
        braking: Limits of the ramp.
        emergency_stop_timeout: s without a heartbeat; 0: none is awaited.
    """
    period = 1.0 / config.control_hz
    ramp = braking.roll(limits) / 2.0  # s at top speed: a ramp goes half as far
    timeouts = {
        "camera_timeout": config.camera_timeout,
        "frozen_timeout": config.frozen_timeout,
        "odometry_timeout": config.odometry_timeout,
        "emergency_stop_timeout": emergency_stop_timeout,
    }
    at_once = [_way(name, timeout, 2.0 * period, 0.0, limits) for name, timeout in timeouts.items() if timeout > 0.0]
    return (_way("plan_timeout", config.plan_timeout, period, ramp, limits), *at_once)


def refuse_blind(
    config: ControllerConfig, limits: Limits, braking: Braking, emergency_stop_timeout: float = 0.0
) -> None:
    """Refuse time-outs with which the robot may go farther than `max_blind_distance` or turn by more than its angle.

    Args:
        config: Time-outs and bounds.
        limits: Limits of motion in force.
        braking: Limits of the ramp.
        emergency_stop_timeout: s without a heartbeat; 0: none is awaited.

    Raises:
        ValueError: They allow more; the message names the longest way, its figure and the bound.
    """
    ways = blind_ways(config, limits, braking, emergency_stop_timeout)
    farthest = max(ways, key=lambda way: way.distance)
    if farthest.distance > config.max_blind_distance + _ROUNDING:
        raise ValueError(
            f"{farthest.parameter} = {farthest.timeout:g}: at {limits.linear_speed:g} m/s the robot may go "
            f"{farthest.distance:.3f} m blind{_of_it(farthest.ramp[0], 'm')}, expected at most max_blind_distance = "
            f"{config.max_blind_distance:g} m"
        )
    widest = max(ways, key=lambda way: way.angle)
    if widest.angle > config.max_blind_angle + _ROUNDING:
        raise ValueError(
            f"{widest.parameter} = {widest.timeout:g}: at {limits.angular_z_max:g} rad/s the robot may turn by "
            f"{math.degrees(widest.angle):.1f} degrees blind{_of_it(math.degrees(widest.ramp[1]), 'degrees')}, "
            f"expected at most max_blind_angle = {config.max_blind_angle:g} rad, "
            f"{math.degrees(config.max_blind_angle):.1f} degrees"
        )


def _way(parameter: str, timeout: float, noticed: float, ramp: float, limits: Limits) -> BlindWay:
    speeds, seconds = (limits.linear_speed, limits.angular_z_max), timeout + noticed + ramp
    distance, angle = (speed * seconds for speed in speeds)
    return BlindWay(parameter, timeout, distance, angle, (speeds[0] * ramp, speeds[1] * ramp))


def _of_it(ramp: float, unit: str) -> str:
    return f", {ramp:.3g} {unit} of it slowing down" if ramp else ""
