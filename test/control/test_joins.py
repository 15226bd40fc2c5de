"""Plans of any content join within the limits, whenever they come, in whatever order, and if some do not come.

10,000 cases of each: pytest test/control/test_joins.py --hypothesis-profile=thorough --timeout=0
What blending takes out of the joins: pytest test/control/test_joins.py -k takes_half -rP
"""

import itertools
import random
from dataclasses import dataclass

import numpy as np
import pytest
from drive_loop import DT, LIMITS, RANGE, ROWS, make_plan
from hypothesis import given
from hypothesis import strategies as st
from properties import cases, limits

from mobile_vla_ros.control import (
    ActionPlan,
    ActionRange,
    BaseLimits,
    ControllerConfig,
    DriveController,
    DriveState,
    Limits,
)
from mobile_vla_ros.control.follower import PlanFollower

PLANS = 8
CATCH_UP = 2.0 / 20.0  # s: what a late tick may make good
Velocity = tuple[float, float]


@dataclass(frozen=True)
class Drive:
    """One run.

    Attributes:
        limits: of the robot.
        contents: of each plan, what its first and its last row want.
        delays: s from a frame to its plan; None: it never comes.
        periods: s between ticks, again and again.
        policy_timeout: s; by the short one silence is a fault, by the long one the robot drives on.
    """

    limits: Limits
    contents: list[tuple[Velocity, Velocity]]
    delays: list[float | None]
    periods: list[float]
    policy_timeout: float

    def plan(self, number: int, stamp: float, instruction_id: int) -> ActionPlan:
        rows = np.linspace(*self.contents[number], ROWS)
        return ActionPlan(stamp, DT, rows, np.zeros(ROWS), instruction_id)


def drives(
    velocities: st.SearchStrategy[Velocity], limits: st.SearchStrategy[Limits] = limits
) -> st.SearchStrategy[Drive]:
    return st.builds(
        Drive,
        limits=limits,
        contents=st.lists(st.tuples(velocities, velocities), min_size=PLANS, max_size=PLANS),
        delays=st.lists(
            st.one_of(st.floats(0.0, 0.25), st.floats(0.0, 0.6), st.none()), min_size=PLANS, max_size=PLANS
        ),
        periods=st.lists(st.floats(0.035, 0.065), min_size=1, max_size=3),
        policy_timeout=st.sampled_from([0.3, 1.0]),
    )


class Checked:
    """A controller each of whose commands is held against the limits, and against the one before it."""

    def __init__(self, drive: Drive) -> None:
        config = ControllerConfig(dt=DT, policy_timeout=drive.policy_timeout)
        self.controller = DriveController(drive.limits, config, ActionRange.unbounded())
        self.controller.arm(0.0, 0.0)
        self.instruction_id = self.controller.set_instruction("go")
        self.commands: list[Velocity] = []
        own, braking = drive.limits, BaseLimits().braking(drive.limits)
        linear = (own.linear_acceleration, own.linear_jerk, braking.linear_deceleration, braking.linear_jerk)
        angular = (own.angular_acceleration, own.angular_jerk, braking.angular_deceleration, braking.angular_jerk)
        self._axes = (
            (own.linear_x_min, own.linear_x_max, linear),
            (-own.angular_z_max, own.angular_z_max, angular),
        )
        self._time, self._velocity, self._rate, self._rounding = 0.0, (0.0, 0.0), (0.0, 0.0), 0.0
        self._left: tuple[float, ...] = (0.0, 0.0)  # acceleration of the last ramp to rest: a plan ends it as it began

    def command(self, time: float) -> None:
        command = self.controller.command(time, time)
        velocity = (command.linear_x, command.angular_z)
        self.commands.append(velocity)
        seconds, self._time = min(time - self._time, CATCH_UP), time
        rate = (0.0, 0.0)
        if command.state is not DriveState.DRIVING:
            assert velocity == (0.0, 0.0)
            assert command.reason
        elif seconds == 0.0:
            assert velocity == self._velocity
            rate = self._rate
        else:
            rate = (velocity[0] - self._velocity[0]) / seconds, (velocity[1] - self._velocity[1]) / seconds
            # Of two commands at nearly the same moment the rate is little but rounding, in this step and the next.
            before_rounding, self._rounding = self._rounding, 1e-12 / seconds
            rounding = before_rounding + self._rounding
            self._left = tuple(left if r * left > 0.0 else 0.0 for r, left in zip(self._rate, self._left, strict=True))
            for last, value, now, before, left, axis in zip(
                self._velocity, velocity, rate, self._rate, self._left, self._axes, strict=True
            ):
                low, high, (acceleration, jerk, deceleration, braking_jerk) = axis
                assert low <= value <= high
                braking = bool(command.reason)
                if braking:
                    assert abs(value) <= abs(last)
                    assert value * last >= 0.0
                    # What would make it faster ends at once.
                    before = before if before * last < 0.0 else 0.0
                if braking or left:
                    acceleration, jerk = max(acceleration, deceleration), max(jerk, braking_jerk)
                assert abs(now) <= acceleration * (1.0 + 1e-9) + rounding
                # A thousandth more of this step, and of the longest before it: so a ramp ends.
                if not braking or value != 0.0:
                    assert abs(now - before) <= jerk * (1.001 * seconds + 1e-3 * CATCH_UP) + rounding
            if command.reason:  # an axis that has come to rest has no acceleration left
                rate = self._left = (rate[0] if velocity[0] else 0.0, rate[1] if velocity[1] else 0.0)
        self._velocity, self._rate = velocity, rate


def commands(drive: Drive) -> list[Velocity]:
    """Drive, as the node does: a command at each tick, and one at each plan that comes between two ticks."""
    checked, frames = Checked(drive), 0
    coming: list[tuple[float, int, ActionPlan]] = []
    time, periods = 0.0, itertools.cycle(drive.periods)
    while frames < PLANS or coming:
        tick = time + next(periods)
        coming.sort()
        while coming and coming[0][0] <= tick:
            time, _, plan = coming.pop(0)
            checked.controller.accept(plan, time, time)
            checked.command(time)
        time = tick
        if checked.controller.on_frame(time, time, time):
            number, frames = frames % PLANS, frames + 1
            delay = drive.delays[number]
            if delay is not None and frames <= PLANS:
                coming.append((time + delay, frames, drive.plan(number, time, checked.instruction_id)))
        checked.command(time)
    return checked.commands


@cases
@given(drives(st.tuples(st.floats(-3.0, 3.0), st.floats(-3.0, 3.0))))
def test_no_join_leaves_the_limits_of_speed_acceleration_and_jerk(drive: Drive) -> None:
    commands(drive)


@cases
@given(st.data(), limits, st.floats(0.0, 3.0), st.floats(-3.0, 3.0))
def test_plans_of_one_curvature_join_without_leaving_it(
    data: st.DataObject, limits: Limits, linear_x: float, angular_z: float
) -> None:
    # Where the robot may not reverse, a negative speed has no curvature to keep.
    share = st.floats(0.0 if limits.linear_x_min == 0.0 else -1.0, 1.0)
    drive = data.draw(drives(share.map(lambda part: (part * linear_x, part * angular_z)), st.just(limits)))
    for v, w in commands(drive):
        assert w * linear_x == pytest.approx(v * angular_z, abs=1e-6)


def random_drive(draw: random.Random) -> Drive:
    """A policy of small doubts: its plans differ a little, and come after 50 to 250 ms."""
    speed, turn = draw.uniform(0.1, 0.4), draw.uniform(-0.5, 0.5)
    contents = []
    for _ in range(PLANS):
        doubt = (draw.gauss(0.0, 0.05), draw.gauss(0.0, 0.1))
        contents.append(((speed + doubt[0], turn + doubt[1]), (speed, turn)))
    return Drive(LIMITS, contents, [draw.uniform(0.05, 0.25) for _ in range(PLANS)], [0.05], 0.3)


def test_it_drives_at_joins() -> None:
    """Were it to stand, all that is said above would hold, too."""
    draw = random.Random(1)
    for _ in range(20):
        speeds = [v for v, _ in commands(random_drive(draw))]
        assert sum(v > 0.05 for v in speeds) > 0.7 * len(speeds)


def wanted(drive: Drive, blend_time: float) -> list[Velocity]:
    """What is wanted at each tick, before the limits."""
    follower = PlanFollower(ControllerConfig(dt=DT, blend_time=blend_time))
    coming = sorted((number * DT + delay, number) for number, delay in enumerate(drive.delays) if delay is not None)
    found = []
    for tick in range(round(PLANS * DT / 0.05)):
        now = 0.05 * tick
        while coming and coming[0][0] <= now:
            number = coming.pop(0)[1]
            follower.follow(drive.plan(number, number * DT, 1), now, 0.0)
        velocity = follower.target(now)
        if velocity is not None:
            found.append(velocity)
    return found


def test_blending_takes_half_the_jump_out_of_joins() -> None:
    steps: dict[float, np.ndarray] = {}
    for blend_time in (0.0, 0.1):
        draw = random.Random(7)
        changes = [np.abs(np.diff(wanted(random_drive(draw), blend_time), axis=0)) for _ in range(100)]
        steps[blend_time] = np.concatenate(changes)
    for blend_time, changes in steps.items():
        largest, usual = changes.max(axis=0), np.sqrt((changes**2).mean(axis=0))
        print(
            f"blend_time {blend_time:.1f} s: from tick to tick the wanted velocity changes by at most "
            f"{largest[0]:.3f} m/s, {largest[1]:.3f} rad/s; root mean square {usual[0]:.4f}, {usual[1]:.4f}"
        )
    assert (steps[0.1].max(axis=0) < 0.7 * steps[0.0].max(axis=0)).all()


contents = st.tuples(*[st.tuples(st.floats(-3.0, 3.0), st.floats(-3.0, 3.0))] * 2)


@cases
@given(st.lists(st.tuples(contents, st.floats(0.0, 0.2)), min_size=2, max_size=8), st.floats(0.01, 0.3))
def test_whatever_is_wanted_does_not_change_because_a_plan_comes(
    plans: list[tuple[tuple[Velocity, Velocity], float]], blend_time: float
) -> None:
    """Also not if the plan before it has not taken over wholly yet."""
    follower = PlanFollower(ControllerConfig(dt=DT, blend_time=blend_time))
    now = 0.0
    for content, pause in plans:
        now += pause
        before = follower.target(now)
        rows = np.linspace(*content, ROWS)
        refusal = follower.follow(ActionPlan(now, DT, rows, np.zeros(ROWS), 1), now, 0.0)
        after = follower.target(now)
        assert after is not None
        assert before is None or refusal is not None or after == pytest.approx(before, abs=1e-9)


def test_a_new_plan_takes_over_within_the_blend_time() -> None:
    loose = Limits(-9.0, 9.0, 9.0, 1e6, 1e6, 1e9, 1e9)
    controller = DriveController(loose, ControllerConfig(dt=DT, blend_time=0.1), RANGE)
    controller.arm(0.0, 0.0)
    number = controller.set_instruction("go")
    controller.accept(make_plan(0.0, number, (1.0, 0.0)), 0.0, 0.0)
    controller.command(0.0, 0.0)
    controller.command(0.01, 0.01)
    controller.accept(make_plan(0.01, number, (2.0, 1.0)), 0.02, 0.02)
    # From the last command on, which was wholly of the plan before.
    for time, share in ((0.02, 0.1), (0.06, 0.5), (0.11, 1.0), (0.2, 1.0)):
        command = controller.command(time, time)
        assert (command.linear_x, command.angular_z) == pytest.approx((1.0 + share, share))
