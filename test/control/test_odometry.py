"""The last poses of odometry, and what the controller makes of odometry."""

import math

import pytest
from drive_loop import DT, LIMITS, TICK, Loop, is_zero
from hypothesis import given
from hypothesis import strategies as st

from mobile_vla_ros.control import ControllerConfig, DriveState, StampedPose
from mobile_vla_ros.control.odometry import MOST_POSES, PoseHistory

SILENCE = ControllerConfig(dt=DT, odometry_timeout=0.5)
REPROJECT = ControllerConfig(dt=DT, odometry_timeout=0.5, reproject=True)


def history(*poses: tuple[float, float, float, float]) -> PoseHistory:
    found = PoseHistory(LIMITS)
    for pose in poses:
        assert found.takes(StampedPose(*pose))
        found.add(StampedPose(*pose))
    return found


def test_between_two_poses_it_is_linear_and_beyond_them_it_is_not_known() -> None:
    poses = history((1.0, 0.0, 0.0, 0.0), (1.1, 0.04, 0.02, 0.1), (1.2, 0.08, 0.02, 0.1))
    assert poses.at(1.05) == StampedPose(1.05, *map(pytest.approx, (0.02, 0.01, 0.05)))
    assert poses.at(1.1) == StampedPose(1.1, 0.04, 0.02, 0.1)
    assert poses.at(1.2) == StampedPose(1.2, 0.08, 0.02, 0.1)
    assert poses.at(0.99) is None
    assert poses.at(1.21) is None
    assert (poses.begin, poses.newest) == (1.0, StampedPose(1.2, 0.08, 0.02, 0.1))


@given(st.floats(-10.0, 10.0), st.lists(st.floats(-0.15, 0.15), min_size=1, max_size=60))
def test_heading_is_unwound(yaw: float, turns: list[float]) -> None:
    poses, sum_of_turns = PoseHistory(LIMITS), 0.0
    poses.add(StampedPose(0.0, 0.0, 0.0, math.remainder(yaw, math.tau)))
    for number, turn in enumerate(turns):
        sum_of_turns += turn
        assert poses.add(StampedPose(0.05 * (number + 1), 0.0, 0.0, math.remainder(yaw + sum_of_turns, math.tau)))
    newest, first = poses.newest, poses.at(0.0)
    assert newest is not None
    assert first is not None
    assert newest.yaw - first.yaw == pytest.approx(sum_of_turns, abs=1e-9)


@pytest.mark.parametrize("pose", [(1.1, math.nan, 0.0, 0.0), (1.1, 0.0, 0.0, math.inf), (math.nan, 0.0, 0.0, 0.0)])
def test_what_is_not_finite_is_not_taken(pose: tuple[float, float, float, float]) -> None:
    assert not history((1.0, 0.0, 0.0, 0.0)).takes(StampedPose(*pose))


@pytest.mark.parametrize("stamp", [0.9, 1.0])
def test_what_is_not_later_is_not_taken(stamp: float) -> None:
    assert not history((1.0, 0.0, 0.0, 0.0)).takes(StampedPose(stamp, 0.0, 0.0, 0.0))


@pytest.mark.parametrize(
    ("x", "yaw", "goes_on"), [(0.1, 0.0, True), (0.0, 0.2, True), (0.3, 0.0, False), (0.0, 0.6, False)]
)
def test_a_jump_begins_anew(x: float, yaw: float, goes_on: bool) -> None:
    poses = history((1.0, 0.0, 0.0, 0.0))
    assert poses.add(StampedPose(1.05, x, 0.0, yaw)) is goes_on
    assert poses.begin == (1.0 if goes_on else 1.05)
    assert poses.newest == StampedPose(1.05, x, 0.0, yaw)


def test_only_the_last_poses_are_kept() -> None:
    poses = PoseHistory(LIMITS)
    for number in range(MOST_POSES + 10):
        poses.add(StampedPose(float(number), 0.0, 0.0, 0.0))
    assert poses.begin == 10.0
    assert poses.at(9.5) is None
    poses.forget()
    assert (poses.begin, poses.newest) == (math.inf, None)


def test_it_counts_only_where_it_is_used() -> None:
    loop = Loop(config=SILENCE)
    loop.say("go")
    loop.run(0.3)
    loop.controller.on_odometry(loop.steady)
    assert loop.run(0.45).state is DriveState.DRIVING
    command = loop.run(0.1)
    assert is_zero(command)
    assert (command.state, command.reason) == (DriveState.STOPPED, "odometry: none for 0.55 s")
    for _ in range(20):
        loop.controller.on_odometry(loop.steady)
        command = loop.run(TICK)
    assert command.state is DriveState.DRIVING


def test_if_it_is_used_and_never_comes_the_robot_stops() -> None:
    loop = Loop(config=SILENCE)
    loop.say("go")
    assert loop.run(1.0).reason == "odometry: none for 1.00 s"


def test_re_projection_needs_a_timeout() -> None:
    with pytest.raises(ValueError, match=r"reproject = True with odometry_timeout = .*: expected a timeout"):
        ControllerConfig(dt=DT, reproject=True)


class OdometryLoop(Loop):
    """Odometry comes at every tick and says that the robot stands, shifted by `x` and with stamps shifted by `late`."""

    x = 0.0
    late = 0.0
    comes = True

    def tick(self, period: float):  # type: ignore[no-untyped-def]
        if self.comes:
            self.controller.on_odometry(self.steady, StampedPose(self.now - self.late, self.x, 0.0, 0.0))
        return super().tick(period)


def followed() -> OdometryLoop:
    loop = OdometryLoop(config=REPROJECT)
    loop.run(0.3)
    loop.say("go")
    assert loop.run(1.0).state is DriveState.DRIVING
    return loop


@pytest.mark.parametrize("pose", [None, StampedPose(math.nan, 0.0, 0.0, 0.0), StampedPose(1.0, 0.0, 0.0, 0.0)])
def test_odometry_without_a_pose_that_can_be_used_is_none(pose: StampedPose | None) -> None:
    loop = followed()
    loop.comes = False
    for _ in range(13):
        loop.controller.on_odometry(loop.steady, pose)
        command = loop.run(TICK)
    assert is_zero(command)
    assert command.reason.startswith("odometry: none for 0.")


@pytest.mark.parametrize("late", [0.6, -0.2])
def test_odometry_of_another_time_stops_the_robot(late: float) -> None:
    loop = OdometryLoop(config=REPROJECT)
    loop.late = late
    loop.say("go")
    command = loop.run(1.0)
    assert is_zero(command)
    assert command.reason.startswith("odometry: its newest pose is ")
    loop.late = 0.0
    assert loop.run(1.0).state is DriveState.DRIVING


def test_one_pose_from_the_future_is_not_waited_for() -> None:
    loop = followed()
    loop.controller.on_odometry(loop.steady, StampedPose(loop.now + 60.0, 0.0, 0.0, 0.0))
    command = loop.run(TICK)
    assert is_zero(command)
    assert command.reason == "odometry: its newest pose is -59.95 s old"
    assert loop.run(1.0).state is DriveState.DRIVING


def test_after_a_jump_of_odometry_only_plans_from_later_frames_count() -> None:
    loop = followed()
    loop.x += 1.0
    loop.commands.clear()
    loop.run(TICK)
    assert loop.commands[0][1].reason == "slowing down: odometry jumped"
    stale = loop.answer(loop.now - 0.06)
    loop.controller.accept(stale, loop.now, loop.steady)
    assert loop.controller.refusal == "plan from a frame of before odometry came, or jumped"
    assert loop.run(1.0).state is DriveState.DRIVING


def test_a_jump_of_the_clock_forgets_the_poses() -> None:
    loop = followed()
    loop.offset -= 100.0
    assert is_zero(loop.run(TICK))
    assert loop.run(1.0).state is DriveState.DRIVING
