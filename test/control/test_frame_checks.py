"""Frames that look alive and are not."""

import math
from dataclasses import replace

import pytest
from drive_loop import CONFIG, LIMITS, TICK, Loop, driving, is_zero

from mobile_vla_ros.control import DriveState
from mobile_vla_ros.control.frames import MOVING, FrozenCamera, StampCheck, moving

FROZEN = "camera: the picture is frozen, the same after "
FAR = (math.inf, math.inf)  # m, rad


def test_a_frozen_picture_stops_the_robot_in_time_and_for_good() -> None:
    loop = driving()
    loop.frozen = True
    begin = loop.steady
    loop.commands.clear()
    loop.run(5.0)
    late = [command for time, command in loop.commands if time > begin + CONFIG.frozen_timeout + 3 * TICK]
    assert all(is_zero(command) for command in late)
    assert late[-1].state is DriveState.STOPPED
    assert late[-1].reason.startswith(FROZEN)
    loop.frozen = False
    assert loop.run(1.0).state is DriveState.DRIVING


def test_a_new_instruction_gives_a_frozen_picture_another_chance() -> None:
    loop = driving()
    loop.frozen = True
    assert loop.run(3.0).reason.startswith(FROZEN)
    loop.say("turn left")
    assert loop.run(1.0).state is DriveState.DRIVING
    assert loop.run(2.0).reason.startswith(FROZEN)


def test_arming_anew_does_not_thaw_a_picture() -> None:
    loop = driving()
    loop.frozen = True
    loop.run(3.0)
    loop.controller.disarm("by request")
    loop.run(TICK)
    loop.arm()
    assert loop.run(1.0).reason.startswith(FROZEN)


@pytest.mark.parametrize("velocity", [(0.0, 0.0), (0.9 * MOVING[0], 0.0), (0.0, -0.9 * MOVING[1])])
def test_a_robot_that_stands_rightly_sees_the_same_picture(velocity: tuple[float, float]) -> None:
    loop = Loop(velocity=velocity, frozen=True)
    loop.say("go")
    assert loop.run(10.0).state is DriveState.DRIVING


@pytest.mark.parametrize("velocity", [(0.1, 0.0), (0.0, 0.2), (0.0, -0.2)])
def test_driving_and_turning_change_the_picture(velocity: tuple[float, float]) -> None:
    loop = Loop(velocity=velocity, frozen=True)
    loop.say("go")
    assert loop.run(3.0).reason.startswith(FROZEN)


def test_a_slow_robot_has_no_frozen_camera_either() -> None:
    slow = replace(LIMITS, linear_x_max=0.04, angular_z_max=0.08)
    loop = Loop(velocity=(0.04, 0.0), frozen=True, limits=slow)
    loop.say("go")
    assert loop.run(3.0).reason.startswith(FROZEN)
    assert moving(LIMITS) == MOVING
    assert moving(replace(slow, linear_x_min=-0.06)) == (pytest.approx(0.03), pytest.approx(0.04))


@pytest.mark.parametrize("velocity", [(0.04, 0.0), (0.02, 0.02), (0.0, -0.09)])
def test_however_slowly_it_moves_a_frozen_picture_stops_it_before_it_has_gone_far(
    velocity: tuple[float, float],
) -> None:
    loop = Loop(velocity=velocity, frozen=True)
    loop.say("go")
    assert loop.run(60.0).reason.startswith(FROZEN)
    way = sum(abs(command.linear_x) * TICK for _, command in loop.commands)
    turn = sum(abs(command.angular_z) * TICK for _, command in loop.commands)
    assert way <= CONFIG.max_blind_distance
    assert turn <= CONFIG.max_blind_angle
    assert way > 0.9 * CONFIG.max_blind_distance or turn > 0.9 * CONFIG.max_blind_angle
    loop.frozen = False
    assert loop.run(1.0).state is DriveState.DRIVING


def test_only_motion_counts() -> None:
    camera = FrozenCamera(1.0, FAR)
    camera.see(7)
    for _ in range(15):
        camera.see(7)
        camera.move((0.3, 0.0), 0.06)
        camera.move((0.0, 0.0), 10.0)
    assert camera.fault == ""
    camera.move((0.3, 0.0), 0.2)
    assert camera.fault == "camera: the picture is frozen, the same after 1.1 s of driving"
    camera.see(8)
    assert camera.fault == ""


def test_content_that_is_not_known_counts_as_new() -> None:
    camera = FrozenCamera(1.0, FAR)
    for _ in range(100):
        camera.see(None)
        camera.move((0.3, 0.0), 0.5)
    assert camera.fault == ""


@pytest.mark.parametrize(
    ("stamp", "fault"),
    [
        (10.0, ""),
        (10.1, ""),
        (10.11, "frame stamped 0.11 s in the future"),
        (9.7, ""),
        (9.69, "frame already 0.31 s old on arrival"),
        (9.9, "frame whose stamp does not advance"),
        (math.nan, "frame stamped nan s at 10.0 s"),
        (1.7e9, "frame stamped 1700000000.00 s at 10.00 s: is use_sim_time right?"),
    ],
)
def test_stamps(stamp: float, fault: str) -> None:
    stamps = StampCheck(oldest=0.3 + 1e-9, future_tolerance=0.1 + 1e-9)
    if "advance" in fault:
        assert stamps.fault(9.9, 10.0) == ""
    assert stamps.fault(stamp, 10.0) == fault


def test_after_a_jump_of_the_clock_any_stamp_may_be_the_next() -> None:
    stamps = StampCheck(0.3, 0.1)
    assert stamps.fault(500.0, 500.0) == ""
    stamps.forget()
    assert stamps.fault(10.0, 10.0) == ""


@pytest.mark.parametrize("buffers", [1, 2, 16])
def test_a_driver_that_sends_its_last_buffers_again_and_again_is_frozen(buffers: int) -> None:
    camera = FrozenCamera(1.0, FAR)
    for number in range(100):
        camera.see(number)
        camera.move((0.3, 0.0), 0.1)
        assert camera.fault == ""
    for number in range(20):
        camera.see(100 - buffers + number % buffers)
        camera.move((0.3, 0.0), 0.1)
    assert camera.fault == "camera: the picture is frozen, the same after 2.1 s of driving"
    camera.see(None)
    assert camera.fault == ""
