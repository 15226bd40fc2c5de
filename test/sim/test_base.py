"""The differential-drive base: accelerations, delay, time-out, disturbance, arcs."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobile_vla_ros.sim.base import DiffDrive, Disturbance, DriveConfig, Pose2D, Velocity, wrap_angle

DT = 0.01


def drive(base: DiffDrive, start: float, seconds: float, command: tuple[float, float] | None = None) -> float:
    """Step the base, commanding at 20 Hz; the time at the end."""
    time = start
    for tick in range(round(seconds / DT)):
        time = start + tick * DT
        if command is not None and tick % 5 == 0:
            base.command(*command, time)
        base.step(time, DT)
    return time + DT


@pytest.fixture
def base() -> DiffDrive:
    return DiffDrive(Pose2D(0.0, 0.0, 0.0), DriveConfig())


def test_stands_still_without_a_command(base: DiffDrive) -> None:
    drive(base, 0.0, 1.0)
    assert base.pose == Pose2D(0.0, 0.0, 0.0)
    assert base.velocity == Velocity(0.0, 0.0)


def test_a_command_takes_effect_after_the_delay(base: DiffDrive) -> None:
    base.command(0.5, 0.0, 0.0)
    time = drive(base, 0.0, 0.05)
    assert base.velocity == Velocity(0.0, 0.0)
    drive(base, time, DT)
    assert base.velocity.linear_x == pytest.approx(0.01)  # 1 m/s^2 for 10 ms


@given(
    commands=st.lists(st.tuples(st.floats(-1.0, 1.0), st.floats(-2.0, 2.0)), min_size=1, max_size=10),
)
def test_accelerations_stay_within_the_limits(commands: list[tuple[float, float]]) -> None:
    base, config = DiffDrive(Pose2D(0.0, 0.0, 0.0), DriveConfig()), DriveConfig()
    time = 0.0
    for command in commands:
        base.command(*command, time)
        for _ in range(7):
            before = base.velocity
            base.step(time, DT)
            time += DT
            assert abs(base.velocity.linear_x - before.linear_x) <= config.linear_acceleration * DT + 1e-9
            assert abs(base.velocity.angular_z - before.angular_z) <= config.angular_acceleration * DT + 1e-9


def test_brakes_when_commands_cease(base: DiffDrive) -> None:
    time = drive(base, 0.0, 2.0, (0.5, 0.0))
    assert base.velocity.linear_x == pytest.approx(0.5)
    time = drive(base, time, 0.4)
    assert base.velocity.linear_x == pytest.approx(0.5)
    drive(base, time, 0.75)  # the rest of the time-out, then 0.5 s of braking at 1 m/s^2
    assert base.velocity == Velocity(0.0, 0.0)


def test_drives_a_circle(base: DiffDrive) -> None:
    time = drive(base, 0.0, 2.0, (0.4, 0.8))
    center = (base.pose.x - 0.5 * math.sin(base.pose.yaw), base.pose.y + 0.5 * math.cos(base.pose.yaw))
    drive(base, time, 3.0, (0.4, 0.8))
    assert math.hypot(base.pose.x - center[0], base.pose.y - center[1]) == pytest.approx(0.5, abs=1e-3)


def test_a_disturbance_changes_the_motion_and_not_the_wheels(base: DiffDrive) -> None:
    time = drive(base, 0.0, 1.0, (0.4, 0.0))
    base.disturbance = Disturbance(slip=0.5, angular_z=1.0)
    time = drive(base, time, 0.2, (0.4, 0.0))
    assert base.velocity == pytest.approx((0.2, 1.0))
    base.disturbance = Disturbance()
    drive(base, time, DT, (0.4, 0.0))
    assert base.velocity == pytest.approx((0.4, 0.0))


def test_a_blocked_base_stands_where_it_is_put(base: DiffDrive) -> None:
    drive(base, 0.0, 1.0, (0.4, 0.3))
    base.block(Pose2D(1.0, 2.0, 0.5))
    assert base.pose == Pose2D(1.0, 2.0, 0.5)
    assert base.velocity == Velocity(0.0, 0.0)


@pytest.mark.parametrize("command", [(math.nan, 0.0), (0.0, math.inf), (-math.inf, 0.0)])
def test_refuses_commands_that_are_not_finite(base: DiffDrive, command: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="finite"):
        base.command(*command, 0.0)


@given(st.floats(-100.0, 100.0))
def test_wrapped_angles_are_the_same_angles(angle: float) -> None:
    wrapped = wrap_angle(angle)
    assert -math.pi < wrapped <= math.pi
    assert math.cos(wrapped) == pytest.approx(math.cos(angle), abs=1e-9)
    assert math.sin(wrapped) == pytest.approx(math.sin(angle), abs=1e-9)
