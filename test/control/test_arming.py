"""Permission to move: nothing moves that was not armed, and an emergency stop holds."""

import itertools

import pytest
from drive_loop import CONFIG, HEARTBEAT_TIMEOUT, LIMITS, RANGE, TICK, Loop, driving, is_zero, make_plan

from mobile_vla_ros.control import Arming, Command, DriveController, DriveState

PRESSED = "emergency stop: pressed"


def disarmed(reason: str) -> Command:
    return Command(0.0, 0.0, DriveState.DISARMED, reason)


def stopped(reason: str) -> Command:
    return Command(0.0, 0.0, DriveState.STOPPED, reason)


def test_it_starts_disarmed_and_does_not_even_ask_the_policy() -> None:
    loop = Loop(armed=False)
    number = loop.say("go to the red box")
    loop.run(1.0)
    loop.controller.accept(make_plan(loop.now, number), loop.now, loop.steady)
    assert loop.controller.refusal == "no plan is wanted"
    loop.run(1.0)
    assert {command for _, command in loop.commands} == {disarmed("not armed yet")}
    assert not loop.answers
    assert loop.arm() is None
    assert loop.run(1.0).state is DriveState.DRIVING


def test_arming_asks_for_frames_from_then_on() -> None:
    loop = Loop(armed=False)
    number = loop.say("go")
    loop.run(1.0)
    loop.arm()
    assert not loop.controller.on_frame(loop.now - 0.02, loop.now, loop.steady)
    loop.controller.accept(make_plan(loop.now - 0.02, number), loop.now, loop.steady)
    assert "before the last fault or arming" in (loop.controller.refusal or "")


def test_disarming_slows_down_within_the_limits_and_keeps_the_instruction() -> None:
    loop = driving()
    loop.controller.disarm("by request")
    loop.commands.clear()
    loop.run(2.0)
    speeds = [0.4, *(command.linear_x for _, command in loop.commands)]
    assert max(a - b for a, b in itertools.pairwise(speeds)) <= 1.0 * TICK + 1e-6
    assert loop.commands[0][1].reason == "slowing down: by request"
    assert loop.commands[0][1].linear_x > 0.3
    assert loop.commands[-1][1] == disarmed("by request")
    assert loop.arm() is None
    assert loop.run(1.0).state is DriveState.DRIVING


def test_a_fault_while_it_slows_down_after_disarming_is_zero_at_once() -> None:
    loop = driving()
    loop.controller.disarm("by request")
    assert not is_zero(loop.run(TICK))
    loop.controller.refuse_frame("corrupt", loop.steady)
    assert loop.run(TICK) == disarmed("by request")


def test_arming_twice_changes_nothing() -> None:
    loop = driving()
    assert loop.arm() is None
    assert loop.run(TICK).linear_x == pytest.approx(0.4)


def test_an_emergency_stop_is_zero_at_once_and_ends_the_instruction() -> None:
    loop = driving()
    loop.emergency_stop("pressed")
    loop.commands.clear()
    loop.say("go")
    loop.run(2.0)
    assert {command for _, command in loop.commands} == {stopped(PRESSED)}
    assert loop.arm() == "emergency stop (pressed): reset it first"
    assert loop.run(TICK) == stopped(PRESSED)
    assert loop.controller.arming.reset() is None
    assert loop.run(1.0) == disarmed("not armed since the emergency stop was reset")


def test_after_an_emergency_stop_arming_alone_does_not_resume() -> None:
    loop = driving()
    loop.emergency_stop("pressed")
    loop.controller.arming.reset()
    loop.arm()
    assert loop.run(1.0) == Command(0.0, 0.0, DriveState.WAITING, "no instruction")
    loop.say("go")
    assert loop.run(1.0).state is DriveState.DRIVING


def test_the_emergency_stop_topic_holds_as_long_as_it_says_so() -> None:
    loop = driving()
    loop.press(True)
    assert loop.run(TICK) == stopped(PRESSED)
    assert loop.controller.arming.reset() == "the emergency stop is still pressed"
    loop.press(False)
    assert loop.run(1.0) == stopped(PRESSED)  # letting go is not enough
    assert loop.controller.arming.reset() is None
    assert loop.run(TICK).state is DriveState.DISARMED


def test_there_has_to_be_something_to_reset() -> None:
    loop = driving()
    assert loop.controller.arming.reset() == "there is no emergency stop to reset"
    assert loop.run(1.0).state is DriveState.DRIVING


def test_the_first_reason_of_an_emergency_stop_stays() -> None:
    arming = Arming()
    arming.stop("a person in the way")
    arming.press(True, 0.0)
    assert arming.latched == "a person in the way"


def test_an_emergency_stop_outlives_the_controller() -> None:
    arming = Arming()
    arming.stop("pressed")
    controller = DriveController(LIMITS, CONFIG, RANGE, arming)
    assert controller.arm(0.0, 0.0) == "emergency stop (pressed): reset it first"
    assert controller.command(0.0, 0.0) == stopped(PRESSED)


def listening() -> Loop:
    """A robot that drives, and has to hear the emergency stop's topic."""
    loop = Loop(heartbeat=True)
    loop.say("go")
    assert loop.run(2.0).linear_x == pytest.approx(0.4)
    return loop


def test_an_emergency_stop_that_falls_silent_is_zero_at_once_and_latches() -> None:
    loop = listening()
    loop.heartbeat = False
    begin = loop.steady
    loop.commands.clear()
    loop.run(1.0)
    (first, command), *_ = [(time, command) for time, command in loop.commands if is_zero(command)]
    assert HEARTBEAT_TIMEOUT < first - begin <= HEARTBEAT_TIMEOUT + TICK + 1e-6
    assert command == stopped("emergency stop: its topic: none for 0.35 s")
    loop.heartbeat = True
    assert loop.run(1.0) == command  # that it comes back is not enough
    assert loop.controller.arming.reset() is None
    assert loop.arm() is None
    assert loop.run(1.0) == Command(0.0, 0.0, DriveState.WAITING, "no instruction")


def test_nothing_is_armed_while_the_emergency_stop_is_not_heard() -> None:
    loop = Loop(heartbeat=False)
    assert loop.arm() == "emergency_stop: never heard: publish it again and again"
    loop.press(False)
    loop.run(1.0)
    assert loop.arm() == "emergency_stop: none for 1.00 s: publish it again and again"
    assert not loop.controller.arming.latched  # it could not have moved
    loop.press(False)
    assert loop.arm() is None


def test_the_ramp_after_disarming_is_cut_off_by_a_silent_emergency_stop() -> None:
    loop = listening()
    loop.heartbeat = False
    loop.run(HEARTBEAT_TIMEOUT)
    loop.controller.disarm("by request")
    assert loop.run(TICK) == stopped("emergency stop: its topic: none for 0.35 s")


def test_a_robot_that_need_not_hear_the_emergency_stop_drives_on() -> None:
    loop = driving()
    loop.press(False)
    assert loop.run(5.0).state is DriveState.DRIVING


def test_what_waits_to_be_read_after_a_hold_up_is_not_held_against_the_emergency_stop() -> None:
    loop = listening()
    loop.heartbeat = False  # its messages came, but are read after the tick
    assert loop.tick(1.0) == stopped("the control loop was held up for 1.00 s")
    loop.heartbeat = True
    assert loop.run(1.0).state is DriveState.DRIVING
    loop.heartbeat = False
    loop.tick(1.0)
    assert loop.run(1.0).reason.startswith("emergency stop: its topic: none for 0.3")
    loop.controller.arming.reset()
    loop.tick(1.0)
    assert loop.arm() is not None  # it was silent before that


def test_why_it_was_not_armed_is_said() -> None:
    loop = Loop(heartbeat=False)
    assert loop.run(TICK) == disarmed("emergency_stop: never heard: publish it again and again")


def test_hold_ups_do_not_keep_a_robot_going_whose_emergency_stop_is_silent() -> None:
    loop = listening()
    loop.heartbeat = False
    for _ in range(3):
        loop.tick(0.25)
        loop.run(0.2)
    assert loop.controller.arming.latched.startswith("its topic: none for")


def test_what_was_silent_before_an_activation_is_so_after_it() -> None:
    loop = listening()
    loop.controller.rest("deactivated")
    loop.heartbeat = False
    loop.steady += 600.0
    assert loop.arm() is not None
    loop.tick(TICK)
    assert loop.arm() is not None
