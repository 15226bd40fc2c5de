"""A robot that is driven blind, in every way, goes no farther than is said of the time-outs."""

from dataclasses import replace

import numpy as np
import pytest
from drive_loop import CONFIG, LIMITS, TICK
from hypothesis import given
from hypothesis import strategies as st
from properties import cases, limits

from mobile_vla_ros.control import (
    ActionPlan,
    ActionRange,
    Arming,
    BaseLimits,
    ControllerConfig,
    DriveController,
    Limits,
)
from mobile_vla_ros.control.blind import blind_ways, refuse_blind

DT = 0.2
LONG = 4.0  # s, longer than any time-out that is tried
PLAN_DT, ROWS = 5.0, 3
BRAKING = BaseLimits().braking(LIMITS)
# Each alone: others are so long that they do not come before it.
ALONE = ControllerConfig(
    dt=DT,
    policy_timeout=LONG,
    plan_timeout=LONG,
    frozen_timeout=LONG,
    odometry_timeout=LONG,
    max_blind_distance=1e6,
    max_blind_angle=1e6,
)
WAYS = {
    "camera_timeout": st.floats(0.05, 0.4),
    "plan_timeout": st.floats(0.2, 3.0),
    "frozen_timeout": st.floats(0.2, 3.0),
    "odometry_timeout": st.floats(0.1, 3.0),
    "emergency_stop_timeout": st.floats(0.1, 3.0),
}
TOP = 6.0  # s within which it is at top speed, or nearly


class BlindRobot:
    """A controller at 20 Hz; what it hears comes `phase` (s) after a tick, and ends when it drives at top speed."""

    def __init__(self, limits: Limits, own: Limits, config: ControllerConfig, emergency_stop: float, phase: float):
        self.limits, self.phase = limits, phase
        self.arming = Arming(emergency_stop)
        self.arming.press(False, 0.0)
        braking = BaseLimits().braking(own)
        self.controller = DriveController(limits, config, ActionRange.unbounded(), self.arming, braking=braking)
        self.controller.arm(0.0, 0.0)
        self.number = self.controller.set_instruction("go")
        self.velocity, self.time, self.digest = (0.0, 0.0), 0.0, 0

    def period(self, ends: str) -> tuple[float, float]:
        """What it hears, and the next tick; the way (m, rad) until then."""
        heard, last = self.time + self.phase, self.velocity
        if ends != "odometry_timeout":
            self.controller.on_odometry(heard)
        if ends != "emergency_stop_timeout":
            self.arming.press(False, heard)
        if ends != "camera_timeout":
            self.digest += ends != "frozen_timeout"
            self.controller.on_frame(heard, heard, heard, self.digest)
            if ends != "plan_timeout":
                wanted = (9.0 * self.limits.linear_x_max, 9.0 * self.limits.angular_z_max)
                plan = ActionPlan(heard, PLAN_DT, np.tile(wanted, (ROWS, 1)), np.zeros(ROWS), self.number)
                self.controller.accept(plan, heard, heard)
        self.time += TICK
        command = self.controller.command(self.time, self.time)
        self.velocity = (command.linear_x, command.angular_z)
        return abs(last[0]) * TICK, abs(last[1]) * TICK

    def drive_blind(self, ends: str) -> tuple[float, float]:
        """The way (m, rad) from the last that it heard to rest."""
        top = (self.limits.linear_x_max, self.limits.angular_z_max)
        while self.time < TOP and not np.allclose(self.velocity, top, atol=1e-6):
            self.period("")
        self.at_top = self.time < TOP
        last = self.velocity
        self.period("")
        rest = TICK - self.phase  # s from what it heard to the tick
        way, turn = abs(last[0]) * rest, abs(last[1]) * rest
        while self.velocity != (0.0, 0.0):
            step = self.period(ends)
            way, turn = way + step[0], turn + step[1]
            assert self.time < TOP + 2.0 * LONG
        return way, turn


@pytest.mark.parametrize("parameter", list(WAYS))
@cases
@given(data=st.data(), own=limits, share=st.floats(0.1, 1.0), phase=st.floats(0.0, 0.049))
def test_whatever_ends_it_goes_no_farther_than_is_computed(
    parameter: str, data: st.DataObject, own: Limits, share: float, phase: float
) -> None:
    own = replace(own, linear_x_min=0.0)
    gentle = own.tightened({"linear_acceleration": share * own.linear_acceleration})
    timeout = data.draw(WAYS[parameter])
    config, emergency_stop = ALONE, LONG
    if parameter == "emergency_stop_timeout":
        emergency_stop = timeout
    else:
        config = replace(ALONE, **{parameter: timeout})
    braking = BaseLimits().braking(own)
    ways = {way.parameter: way for way in blind_ways(config, gentle, braking, emergency_stop)}
    way = ways[parameter]
    robot = BlindRobot(gentle, own, config, emergency_stop, phase)
    distance, angle = robot.drive_blind(parameter)
    assert distance <= way.distance + 1e-6
    assert angle <= way.angle + 1e-6
    # It is no empty promise: only the phase may save two periods, and the longer ramp of one axis that of the other.
    least = way.timeout * own.linear_x_max
    assert distance >= least - 1e-6 or not robot.at_top


@cases
@given(st.sampled_from(sorted(WAYS)), st.floats(0.0, 0.049), st.sampled_from([0.3, 10.0]))
def test_the_defaults_bound_it_to_half_a_metre(ends: str, phase: float, policy_timeout: float) -> None:
    config = replace(CONFIG, odometry_timeout=0.3, policy_timeout=policy_timeout)
    refuse_blind(config, LIMITS, BRAKING, 0.3)
    distance, angle = BlindRobot(LIMITS, LIMITS, config, 0.3, phase).drive_blind(ends)
    assert distance <= 0.5 + 1e-6
    assert angle <= config.max_blind_angle


@pytest.mark.parametrize(
    ("changes", "emergency_stop", "reason"),
    [
        (
            {"plan_timeout": 10.0, "policy_timeout": 10.0},
            0.0,
            r"plan_timeout = 10: at 0\.5 m/s .* may go 5\.175 m blind",
        ),
        (
            {"frozen_timeout": 60.0},
            0.0,
            r"frozen_timeout = 60: .* 30\.050 m blind, expected at most max_blind_distance",
        ),
        ({"odometry_timeout": 5.0}, 0.0, r"odometry_timeout = 5: .* 2\.550 m blind"),
        ({}, 5.0, r"emergency_stop_timeout = 5: .* 2\.550 m blind"),
        ({"max_blind_distance": 0.4}, 0.0, r"0\.500 m blind.* = 0\.4 m"),
        ({"max_blind_angle": 0.8}, 0.0, r"1 rad/s the robot may turn by 57\.3 degrees .* = 0\.8 rad, 45\.8 degrees"),
    ],
)
def test_time_outs_that_are_too_wide_as_a_set_are_refused_with_the_figure(
    changes: dict[str, float], emergency_stop: float, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        refuse_blind(replace(CONFIG, **changes), LIMITS, BRAKING, emergency_stop)


def test_a_slower_robot_may_wait_longer() -> None:
    patient = replace(CONFIG, plan_timeout=1.3)
    with pytest.raises(ValueError, match=r"0\.15 m of it slowing down"):
        refuse_blind(patient, LIMITS, BRAKING)
    refuse_blind(patient, LIMITS.tightened({"linear_x_max": 0.3, "angular_z_max": 0.6}), BRAKING)
