"""Following a plan by where the robot is on its path."""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from drive_loop import DT, LIMITS, RANGE, TICK
from hypothesis import example, given
from hypothesis import strategies as st
from properties import cases

from mobile_vla_ros.control import (
    ActionPlan,
    ControllerConfig,
    DriveController,
    DriveState,
    Limits,
    StampedPose,
)
from mobile_vla_ros.control.limits import REST
from mobile_vla_ros.control.reprojection import REACH, SETTLE, PlannedPath

STAMP = 100.0
SLACK = 0.08  # m that late odometry and `TOLERANCE` may add
START = StampedPose(STAMP, 1.0, -2.0, 3.0)
Rows = list[tuple[float, float]]

velocities = st.tuples(st.floats(-0.5, 0.5), st.floats(-1.0, 1.0))
rows = st.lists(velocities, min_size=1, max_size=8)
offsets = st.tuples(st.floats(-1.0, 1.0), st.floats(-1.0, 1.0), st.floats(-4.0, 4.0))
within = st.floats(0.0, 1.0)


def plan_of(rows: Rows) -> ActionPlan:
    return ActionPlan(STAMP, DT, np.array(rows), np.zeros(len(rows)), 1)


def path_of(plan: ActionPlan) -> PlannedPath:
    return PlannedPath(plan, START, LIMITS)


def moved(pose: StampedPose, velocity: tuple[float, float], seconds: float) -> StampedPose:
    way, turn = velocity[0] * seconds, velocity[1] * seconds
    heading = pose.yaw + turn / 2.0
    x, y = pose.x + way * math.cos(heading), pose.y + way * math.sin(heading)
    return StampedPose(pose.stamp + seconds, x, y, pose.yaw + turn)


def on_schedule(plan: ActionPlan, seconds: float) -> StampedPose:
    """Where a robot is that has done as the plan says for so long."""
    pose, steps = START, max(1, round(seconds / 0.001))
    for number in range(steps):
        velocity = plan.at(STAMP + (number + 0.5) * seconds / steps)
        assert velocity is not None
        pose = moved(pose, velocity, seconds / steps)
    return pose


def seen_at(pose: StampedPose, now: float) -> StampedPose:
    return StampedPose(now, pose.x, pose.y, pose.yaw)


@pytest.mark.parametrize("velocity", [(0.4, 0.0), (0.4, 0.8), (0.3, -0.5), (0.0, 0.7), (-0.3, 0.0), (-0.3, 0.4)])
@pytest.mark.parametrize("seconds", [0.0, 0.31, 0.8, 1.3])
def test_a_robot_that_moves_as_planned_is_led_as_by_the_clock(velocity: tuple[float, float], seconds: float) -> None:
    plan = plan_of([velocity] * 8)
    wanted = path_of(plan).at(STAMP + seconds, on_schedule(plan, seconds), velocity)
    # Sideways and in heading it is off by no more than lies between two points of the path.
    assert wanted == pytest.approx(velocity, abs=0.02)


@cases
@given(rows, within)
@example([(0.0, 0.0), (0.0, 0.625), (0.0, -0.1875)], 0.8125)  # it turns back to where it ends
def test_so_it_is_on_a_path_of_any_form(rows: Rows, share: float) -> None:
    plan = plan_of(rows)
    now = STAMP + share * 0.95 * (plan.end - STAMP)
    by_the_clock = plan.at(now)
    assert by_the_clock is not None
    wanted = path_of(plan).at(now, on_schedule(plan, now - STAMP), REST)
    assert wanted == pytest.approx(by_the_clock, abs=0.05)


@cases
@given(offsets, st.integers(1, 8), within)
def test_where_the_plan_stands_the_robot_stands_wherever_it_is(
    offset: tuple[float, float, float], count: int, share: float
) -> None:
    plan = plan_of([(0.0, 0.0)] * count)
    now = STAMP + share * (plan.end - STAMP)
    pose = StampedPose(now, START.x + offset[0], START.y + offset[1], START.yaw + offset[2])
    assert path_of(plan).at(now, pose, REST) == (0.0, 0.0)


TURN_THEN_STRAIGHT: Rows = [(0.3, 0.8)] * 3 + [(0.3, 0.0)] * 5


def test_what_has_not_been_driven_is_not_skipped() -> None:
    plan = plan_of(TURN_THEN_STRAIGHT)
    behind = seen_at(on_schedule(plan, 0.2), STAMP + 0.7)
    assert plan.at(STAMP + 0.7) == pytest.approx((0.3, 0.0))
    assert path_of(plan).at(STAMP + 0.7, behind, (0.3, 0.8)) == pytest.approx((0.3, 0.8), abs=0.02)


def test_what_has_been_driven_already_is_skipped() -> None:
    plan = plan_of(TURN_THEN_STRAIGHT)
    ahead = seen_at(on_schedule(plan, 0.9), STAMP + 0.2)
    assert path_of(plan).at(STAMP + 0.2, ahead, (0.3, 0.8)) == pytest.approx((0.3, 0.0), abs=0.02)


def test_since_the_newest_pose_the_clock_counts() -> None:
    plan = plan_of(TURN_THEN_STRAIGHT)
    behind = seen_at(on_schedule(plan, 0.2), STAMP + 0.4)
    assert path_of(plan).at(STAMP + 0.8, behind, (0.3, 0.4)) == pytest.approx((0.3, 0.0), abs=0.02)


def test_a_robot_that_stands_sets_off() -> None:
    """By its place alone it would want what the first row wants, for ever."""
    plan = plan_of([(0.1 * row, 0.0) for row in range(8)])
    wanted = path_of(plan).at(STAMP + 0.3, seen_at(START, STAMP + 0.3), REST)
    assert wanted is not None
    assert 0.1 < wanted[0] <= 0.15


def test_a_path_that_has_been_driven_to_its_end_is_used_up() -> None:
    plan = plan_of([(0.4, 0.0)] * 8)
    end = on_schedule(plan, 1.4)
    path = path_of(plan)
    assert path.at(STAMP + 1.0, seen_at(moved(end, (0.4, 0.0), 0.1), STAMP + 1.0), REST) is None
    assert path.at(STAMP + 1.41, seen_at(START, STAMP + 1.41), REST) is None  # by the clock


@pytest.mark.parametrize("forwards", [1.0, -1.0])
@pytest.mark.parametrize(
    ("left", "turned", "sign"), [(0.1, 0.0, -1.0), (-0.1, 0.0, 1.0), (0.0, 0.3, -1.0), (0.0, -0.3, 1.0)]
)
def test_it_steers_towards_the_path(forwards: float, left: float, turned: float, sign: float) -> None:
    plan = plan_of([(forwards * 0.4, 0.0)] * 8)
    pose = on_schedule(plan, 0.5)
    x, y = pose.x - left * math.sin(pose.yaw), pose.y + left * math.cos(pose.yaw)
    wanted = path_of(plan).at(pose.stamp, StampedPose(pose.stamp, x, y, pose.yaw + turned), REST)
    assert wanted is not None
    assert wanted[1] * sign * (forwards if left else 1.0) > 0.05


@pytest.mark.parametrize("speed", [0.4, -0.4, 2.0])
@pytest.mark.parametrize("offset", [(0.0, 0.1, 0.0), (0.0, -0.3, 0.5), (0.0, 0.0, -0.5), (0.0, 0.0, 2.5)])
def test_errors_vanish_on_the_way(speed: float, offset: tuple[float, float, float]) -> None:
    plan = ActionPlan(0.0, DT, np.tile((speed, 0.0), (61, 1)), np.zeros(61), 1)
    path, pose = PlannedPath(plan, StampedPose(0.0, 0.0, 0.0, 0.0), LIMITS), StampedPose(0.0, *offset)
    for _ in range(round(8.0 * max(REACH / abs(speed), SETTLE) / TICK)):
        pose = moved(pose, path.at(pose.stamp, pose, REST) or REST, TICK)
    assert abs(pose.y) < 0.01
    assert abs(pose.yaw) < 0.05


@cases
@given(rows, offsets, within, within, velocities)
def test_it_is_never_faster_than_the_plan_nor_drives_the_other_way(
    rows: Rows, offset: tuple[float, float, float], share: float, seen: float, velocity: tuple[float, float]
) -> None:
    plan = plan_of(rows)
    now = STAMP + share * (plan.end - STAMP)
    pose = StampedPose(STAMP + seen * (now - STAMP), START.x + offset[0], START.y + offset[1], START.yaw + offset[2])
    wanted = path_of(plan).at(now, pose, velocity)
    if wanted is None:
        return
    speeds, turns = zip(*rows, strict=True)
    fastest = max(map(abs, speeds))
    assert min(0.0, *speeds) - 1e-9 <= wanted[0] <= max(0.0, *speeds) + 1e-9
    assert abs(wanted[1]) <= max(map(abs, turns)) + 2.0 * fastest / REACH + 1e-9


@dataclass
class Robot:
    """A base that does as it is told, but for what holds it up, and its odometry, which is late.

    Attributes:
        moves: the share of a command that the wheels carry out at a time (s).
    """

    moves: Callable[[float], float]
    reproject: bool
    limits: Limits = LIMITS
    delay: float = 0.03  # s, of odometry

    def __post_init__(self) -> None:
        self.config = ControllerConfig(
            dt=DT, plan_timeout=2.0, policy_timeout=3.0, odometry_timeout=0.5, reproject=self.reproject
        )
        self.poses = [START]
        self.driven = 0.0  # m

    def follow(self, rows: Rows, latency: float) -> StampedPose:
        """Drive one plan, whose frame was taken while it stood, to its end; where it comes to rest."""
        controller = DriveController(self.limits, self.config, RANGE)
        controller.arm(STAMP, 0.0)
        number = controller.set_instruction("go")
        plan = ActionPlan(STAMP, DT, np.array(rows), np.zeros(len(rows)), number)
        pose, taken = START, False
        for tick in range(round((plan.end - STAMP + 3.0) / TICK)):
            steady = tick * TICK
            now = STAMP + steady
            seen = next(known for known in reversed(self.poses) if known.stamp <= max(now - self.delay, STAMP))
            controller.on_odometry(steady, seen)
            controller.on_frame(now, now, steady)
            if not taken and steady >= latency:
                controller.accept(plan, now, steady)
                assert controller.refusal is None
                taken = True
            command = controller.command(now, steady)
            assert command.state in (DriveState.DRIVING, DriveState.WAITING, DriveState.STOPPED)
            share = self.moves(steady)
            for _ in range(5):
                velocity = share * command.linear_x, share * command.angular_z
                pose = moved(pose, velocity, TICK / 5.0)
                self.driven += abs(velocity[0]) * TICK / 5.0
                self.poses.append(pose)
        return pose


def held_up(begin: float, duration: float) -> Callable[[float], float]:
    return lambda time: 0.0 if begin <= time < begin + duration else 1.0


@cases
@given(
    st.lists(st.tuples(st.floats(0.0, 0.5), st.floats(-1.0, 1.0)), min_size=2, max_size=8),
    st.floats(0.0, 0.15),
    st.floats(0.0, 1.0),
    st.floats(0.0, 1.0),
)
def test_it_never_drives_farther_than_the_plan_and_its_ramp_to_rest(
    rows: Rows, latency: float, begin: float, duration: float
) -> None:
    robot = Robot(held_up(begin, duration), reproject=True)
    robot.follow(rows, latency)
    plan = sum(v + after for (v, _), (after, _) in itertools.pairwise(rows)) * DT / 2.0
    last = rows[-1][0]
    ramp = last * (last / LIMITS.linear_acceleration + LIMITS.linear_acceleration / LIMITS.linear_jerk) / 2.0
    assert robot.driven <= plan + ramp + SLACK


def heading_missed(reproject: bool, moves: Callable[[float], float], limits: Limits, latency: float) -> float:
    """How far (rad) from the plan's last heading the robot ends."""
    plan = plan_of(TURN_THEN_STRAIGHT)
    end = Robot(moves, reproject, limits).follow(TURN_THEN_STRAIGHT, latency)
    return abs(end.yaw - on_schedule(plan, plan.end - STAMP).yaw)


# What only parameters do: the policy's own plans are for its own limits.
SLUGGISH = LIMITS.tightened({"angular_acceleration": 1.5, "angular_jerk": 10.0})


@pytest.mark.parametrize(
    ("moves", "limits", "latency"),
    [
        pytest.param(held_up(0.0, 0.0), LIMITS, 0.1, id="limits of acceleration"),
        pytest.param(held_up(0.0, 0.0), SLUGGISH, 0.1, id="tighter limits"),
        pytest.param(held_up(0.0, 0.0), LIMITS, 0.3, id="a late plan"),
        pytest.param(held_up(0.2, 0.3), LIMITS, 0.1, id="held up by another node"),
        pytest.param(lambda _: 0.7, LIMITS, 0.1, id="wheels that slip"),
    ],
)
def test_the_heading_that_the_clock_misses_is_reached_by_place(
    moves: Callable[[float], float], limits: Limits, latency: float
) -> None:
    by_the_clock = heading_missed(False, moves, limits, latency)
    by_place = heading_missed(True, moves, limits, latency)
    print(f"heading missed: by the clock {by_the_clock:.3f} rad, by place {by_place:.3f} rad")
    assert by_the_clock > 0.08
    assert by_place < 0.5 * by_the_clock
