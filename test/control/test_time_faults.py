"""Clocks that jump or stand still, stamps of another time, a control loop that is held up."""

import math

import pytest
from drive_loop import LIMITS, RANGE, TICK, driving, is_zero, make_plan

from mobile_vla_ros.control import Command, ControllerConfig, DriveController, DriveState


@pytest.mark.parametrize(("jump", "word"), [(-500.0, "back"), (500.0, "forward"), (-1.0, "back"), (2.0, "forward")])
def test_a_jump_of_the_clock_is_zero_at_once_and_passes(jump: float, word: str) -> None:
    loop = driving()
    loop.offset += jump
    loop.commands.clear()
    loop.run(TICK)
    command = loop.commands[0][1]
    assert is_zero(command)
    assert command.state is DriveState.STOPPED
    assert f"the clock jumped {word}" in command.reason
    assert loop.run(1.5).state is DriveState.DRIVING


def test_a_clock_that_stands_still_stops_the_robot() -> None:
    loop = driving()
    for _ in range(20):
        loop.steady += TICK
        loop.controller.on_frame(1000.0, 1000.0, loop.steady)
        command = loop.controller.command(loop.offset + loop.ticks * TICK, loop.steady)
    assert is_zero(command)
    assert command.reason.startswith("camera: no usable frame")


@pytest.mark.parametrize(
    ("shift", "reason"),
    [
        (0.5, "frame stamped 0.50 s in the future"),
        (-0.4, "frame already 0.40 s old on arrival"),
        (-2e9, "is use_sim_time right?"),
        (math.nan, "frame stamped nan s"),
    ],
)
def test_frames_of_another_time_do_not_count(shift: float, reason: str) -> None:
    loop = driving()
    loop.camera = False
    for _ in range(20):
        loop.run(TICK)
        assert not loop.controller.on_frame(loop.now + shift, loop.now, loop.steady)
    command = loop.run(TICK)
    assert is_zero(command)
    assert reason in command.reason


def test_a_frozen_stamp_is_a_dead_camera() -> None:
    loop = driving()
    loop.camera = False
    stamp = loop.now
    for _ in range(20):
        loop.run(TICK)
        loop.controller.on_frame(stamp, stamp, loop.steady)
    assert "frame whose stamp does not advance" in loop.run(TICK).reason


def test_a_control_loop_that_was_held_up_drops_the_plan_until_a_fresh_frame() -> None:
    loop = driving()
    loop.camera = False
    command = loop.tick(0.25)
    assert command == Command(0.0, 0.0, DriveState.STOPPED, "the control loop was held up for 0.25 s")
    late = make_plan(loop.now - 0.1, loop.controller.instruction_id)
    loop.controller.accept(late, loop.now, loop.steady)
    assert "before the last fault" in (loop.controller.refusal or "")
    assert is_zero(loop.tick(TICK))
    loop.camera = True
    assert loop.run(1.0).state is DriveState.DRIVING


def test_a_control_loop_that_is_held_up_a_little_goes_on() -> None:
    loop = driving()
    for _ in range(10):
        assert loop.tick(0.15).state is DriveState.DRIVING


def test_an_answer_to_a_frame_of_before_the_clock_jumped_back_is_void() -> None:
    """Its stamp lies ahead of the clock that was set back: by that alone it would be fresh when time comes there."""
    config = ControllerConfig(dt=0.2)
    controller = DriveController(LIMITS, config, RANGE)
    assert controller.arm(1000.0, 0.0) is None
    number = controller.set_instruction("go on")
    assert controller.on_frame(1000.05, 1000.05, 0.05)
    plans = [1000.05]
    for tick in range(1, 40):
        steady = 0.05 * tick
        now = 1000.0 + steady - (1.0 if tick > 2 else 0.0)
        if tick > 2 and tick % 2 == 0:
            controller.on_frame(now, now, steady)
        if tick == 19:
            controller.accept(make_plan(plans[0], number), now, steady)
            assert controller.refusal == "plan from a frame of before the clock jumped"
        command = controller.command(now, steady)
        assert (command.linear_x, command.angular_z) == (0.0, 0.0)
    assert command.state is DriveState.STOPPED
    assert command.reason.startswith("policy: no answer")
