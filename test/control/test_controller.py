import itertools
import math

import numpy as np
import pytest
from drive_loop import CONFIG, DEADLINE, DT, LIMITS, RANGE, ROWS, TICK, Loop, driving, is_zero, make_plan

from mobile_vla_ros.control import ActionPlan, Command, ControllerConfig, DriveController, DriveState


def test_it_waits_without_an_instruction() -> None:
    command = Loop().run(1.0)
    assert command == Command(0.0, 0.0, DriveState.WAITING, "no instruction")


def test_it_waits_for_the_first_plan() -> None:
    loop = Loop(policy=False)
    loop.run(0.3)
    loop.say("go")
    assert loop.run(0.1) == Command(0.0, 0.0, DriveState.WAITING, "no plan yet")


def test_it_drives_as_the_plan_says() -> None:
    loop = driving()
    command = loop.run(TICK)
    assert command.state is DriveState.DRIVING
    assert (command.linear_x, command.angular_z) == pytest.approx(loop.velocity)


def test_a_plan_is_looked_up_by_time() -> None:
    loop = Loop()
    loop.run(0.3)
    number = loop.say("go")
    stamp = loop.now
    rows = np.stack([np.linspace(0.0, 0.14, ROWS), np.zeros(ROWS)], axis=1)
    assert loop.controller.on_frame(stamp + 1e-6, loop.now, loop.steady)
    loop.policy = False
    loop.controller.accept(ActionPlan(stamp, DT, rows, np.zeros(ROWS), number), loop.now, loop.steady)
    loop.camera = False
    command = loop.run(0.25)
    assert command.linear_x == pytest.approx(0.1 * (loop.now - stamp), abs=0.006)  # the limits lag a little


@pytest.mark.parametrize("cut", [0.0, TICK, 2 * TICK, 3 * TICK])
def test_a_dead_camera_stops_the_robot_in_time_for_good(cut: float) -> None:
    loop = driving()
    loop.run(cut)
    last = math.floor(loop.ticks / 2) * 2 * TICK
    loop.camera = False
    loop.commands.clear()
    loop.run(5.0)
    assert all(is_zero(command) for time, command in loop.commands if time >= last + DEADLINE - 2 * TICK)
    command = loop.commands[-1][1]
    assert command.state is DriveState.STOPPED
    assert command.reason.startswith("camera: no usable frame for 5")


@pytest.mark.parametrize("cut", [0.0, TICK, 2 * TICK, 3 * TICK])
def test_a_policy_that_goes_silent_stops_the_robot_in_time_for_good(cut: float) -> None:
    loop = driving()
    loop.run(cut)
    loop.policy = False
    loop.commands.clear()
    begin = loop.steady
    loop.run(5.0)
    # What was under way is still answered; the silence begins with the next step, at most a dt later.
    silent = [command for time, command in loop.commands if time >= begin + DT + DEADLINE - 2 * TICK]
    assert all(is_zero(command) for command in silent)
    assert loop.commands[-1][1].state is DriveState.STOPPED
    assert loop.commands[-1][1].reason.startswith("policy: no answer for")


def test_camera_and_policy_may_come_back() -> None:
    loop = driving()
    loop.camera = False
    assert is_zero(loop.run(1.0))
    loop.camera = True
    assert loop.run(1.0).state is DriveState.DRIVING


def test_a_policy_that_failed_is_not_tried_again_before_the_next_instruction() -> None:
    loop = driving()
    loop.controller.policy_failed("policy: RuntimeError: out of memory")
    loop.commands.clear()
    loop.run(3.0)
    assert {command for _, command in loop.commands} == {
        Command(0.0, 0.0, DriveState.STOPPED, "policy: RuntimeError: out of memory")
    }
    assert not loop.controller.on_frame(loop.now + 0.01, loop.now + 0.01, loop.steady)
    loop.say("go to the red box")
    assert loop.run(1.0).state is DriveState.DRIVING


@pytest.mark.parametrize(
    "velocity", [(math.nan, 0.0), (0.1, math.inf), (-math.inf, 0.0)], ids=["nan", "inf", "minus inf"]
)
def test_a_plan_that_is_not_finite_is_a_failure_of_the_policy(velocity: tuple[float, float]) -> None:
    loop = driving()
    loop.velocity = velocity
    loop.run(0.2)
    loop.commands.clear()
    command = loop.run(3.0)
    assert all(is_zero(command) for _, command in loop.commands)
    assert (command.state, command.reason) == (DriveState.STOPPED, "policy: velocity is not finite")
    assert loop.controller.refusal == "policy: velocity is not finite"


def test_a_slow_policy_gives_zero_commands_and_says_so() -> None:
    loop = Loop(latency=2.0)
    loop.run(0.3)
    loop.say("go")
    loop.run(6.0)
    assert len(loop.commands) == 126
    assert all(is_zero(command) for _, command in loop.commands)
    reasons = {command.reason for _, command in loop.commands}
    assert any(reason.startswith("policy: no answer for") for reason in reasons)
    assert any(reason.startswith("policy too slow: its plan was already 2.0") for reason in reasons)


def test_the_old_plan_is_dropped_at_once_by_a_new_instruction() -> None:
    loop = driving()
    number = loop.controller.instruction_id
    loop.policy = False
    loop.answers.clear()
    loop.say("turn left")
    loop.commands.clear()
    for age in range(6):  # answers to the old instruction that come late
        loop.controller.accept(make_plan(loop.now, number, (0.5, 1.0)), loop.now, loop.steady)
        assert loop.controller.refusal == f"plan for instruction {number}, now it is {number + 1}"
        loop.run(TICK)
        assert loop.commands[age][1].linear_x < 0.4
    speeds = [command.linear_x for _, command in loop.commands]
    assert speeds == sorted(speeds, reverse=True)
    assert loop.commands[0][1].reason == "slowing down: new instruction"


def test_an_empty_instruction_is_zero_at_once() -> None:
    loop = driving()
    loop.say("  ")
    loop.commands.clear()
    loop.run(2.0)
    assert {command for _, command in loop.commands} == {Command(0.0, 0.0, DriveState.WAITING, "no instruction")}


def test_done_latches_until_the_next_instruction_message() -> None:
    loop = driving()
    loop.stop = 1.0
    loop.run(2.0)
    loop.stop = 0.0
    loop.commands.clear()
    loop.run(5.0)
    assert {command for _, command in loop.commands} == {Command(0.0, 0.0, DriveState.DONE, "")}
    loop.say("go to the red box")  # the same words
    assert loop.run(1.0).state is DriveState.DRIVING


@pytest.mark.parametrize("latency", [0.2, 0.25])
@pytest.mark.parametrize("phase", range(8))
def test_another_instruction_while_the_policy_works_is_not_its_silence(latency: float, phase: int) -> None:
    loop = Loop(latency=latency)
    loop.say("go")
    loop.run(1.0 + phase * TICK)
    loop.commands.clear()
    loop.say("turn left")
    assert loop.run(2.0).state is DriveState.DRIVING
    assert not [command.reason for _, command in loop.commands if command.state is DriveState.STOPPED]


def test_done_needs_confirmation_by_successive_plans() -> None:
    loop = driving()
    for stop in (1.0, 1.0, 0.0) * 6:
        loop.stop = stop
        assert loop.run(DT).state is DriveState.DRIVING


def test_done_is_read_at_the_present_time_not_at_the_end_of_the_plan() -> None:
    loop = driving()
    loop.policy = False
    loop.answers.clear()
    later = np.concatenate([np.zeros(4), np.ones(ROWS - 4)])
    for _ in range(10):
        plan = make_plan(loop.now, loop.controller.instruction_id)
        plan = ActionPlan(plan.stamp, DT, plan.velocity, later, plan.instruction_id)
        loop.controller.accept(plan, loop.now, loop.steady)
        assert loop.run(DT).state is not DriveState.DONE


def test_slowing_down_at_the_end_of_a_task_keeps_the_limits() -> None:
    loop = driving()
    loop.stop = 1.0
    loop.commands.clear()
    loop.run(2.0)
    speeds = [command.linear_x for _, command in loop.commands]
    assert max(a - b for a, b in itertools.pairwise(speeds)) <= 1.0 * TICK + 1e-9
    slowing = [command for _, command in loop.commands if command.reason]
    assert slowing
    assert all(c.state is DriveState.DRIVING and c.reason == "slowing down: task done" for c in slowing)


def test_a_plan_that_is_used_up_ramps_to_zero_and_is_not_held() -> None:
    loop = driving()
    loop.policy = False
    stamp = loop.now
    controller = DriveController(LIMITS, ControllerConfig(dt=DT, policy_timeout=10.0), RANGE)
    controller.arm(stamp, 0.0)
    number = controller.set_instruction("go")
    controller.accept(make_plan(stamp, number), stamp, 0.0)
    commands = []
    for tick in range(40):
        time = tick * TICK
        controller.on_frame(stamp + time + 1e-6, stamp + time, time)
        commands.append((time, controller.command(stamp + time, time)))
    last = round(CONFIG.plan_timeout / TICK) - 1
    assert commands[last][1].linear_x == pytest.approx(0.4, abs=1e-3)
    speeds = [command.linear_x for time, command in commands if time > CONFIG.plan_timeout - TICK / 2.0]
    assert speeds == sorted(speeds, reverse=True)
    assert max(a - b for a, b in itertools.pairwise(speeds)) <= 1.0 * TICK + 1e-9
    assert is_zero(commands[-1][1])
    assert commands[-1][1].state is DriveState.STOPPED
    assert commands[-1][1].reason.startswith("the plan is used up (0.")


@pytest.mark.parametrize(
    ("offset", "reason"),
    [(-5.0, "plan from a frame"), (0.5, "plan from a frame 0.50 s in the future"), (-0.9, "policy too slow")],
)
def test_untimely_plans_are_refused(offset: float, reason: str) -> None:
    loop = Loop(policy=False)
    loop.run(0.3)
    number = loop.say("go")
    if offset == -5.0:
        loop.controller.accept(make_plan(loop.now, number), loop.now, loop.steady)
        assert loop.controller.refusal is None
    loop.controller.accept(make_plan(loop.now + offset, number), loop.now, loop.steady)
    assert (loop.controller.refusal or "").startswith(reason)


def test_a_frame_that_cannot_be_used_is_zero_at_once() -> None:
    loop = driving()
    loop.controller.refuse_frame("encoding 'yuv422' is not supported", loop.steady)
    command = loop.controller.command(loop.now, loop.steady)
    assert command == Command(0.0, 0.0, DriveState.STOPPED, "encoding 'yuv422' is not supported")
    assert loop.run(1.0).state is DriveState.DRIVING  # the next frames were sound


def test_good_and_bad_frames_by_turns_do_not_make_it_creep() -> None:
    loop = driving()
    loop.commands.clear()
    for _ in range(20):
        loop.controller.refuse_frame("image is empty", loop.steady)
        loop.run(DT)
    assert {command for _, command in loop.commands} == {Command(0.0, 0.0, DriveState.STOPPED, "image is empty")}


def test_corrupt_frames_that_the_policy_was_given_are_not_its_silence() -> None:
    loop = driving()
    loop.policy = False
    loop.answers.clear()
    for _ in range(10):
        loop.run(DT)
        loop.controller.refuse_frame("not a jpeg", loop.steady, stamp=loop.now)
        assert loop.controller.command(loop.now, loop.steady).reason == "not a jpeg"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("dt", 0.0),
        ("camera_timeout", math.nan),
        ("stop_threshold", 1.5),
        ("blend_time", -1.0),
        ("control_hz", 0.0),
        ("odometry_timeout", -1.0),
        ("stop_release", 0.6),  # above stop_threshold
        ("camera_timeout", 0.45),  # and two periods: more than a base waits
    ],
)
def test_a_configuration_out_of_range_is_refused(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{field} = "):
        ControllerConfig(**{"dt": DT, field: value})


def test_an_output_beyond_the_policys_own_range_is_a_failure_of_the_policy() -> None:
    loop = driving()
    loop.velocity = (2.1, 0.0)
    loop.commands.clear()
    loop.run(1.0)
    assert max(command.linear_x for _, command in loop.commands) <= 0.4 + 1e-6  # not clipped, not followed
    assert loop.commands[-1][1].reason == "policy: linear_x 2.100 is out of the policy's own range -2.0 to 2.0"
    assert loop.commands[-1][1].state is DriveState.STOPPED


def test_an_instruction_that_is_too_long_stops_the_robot_instead_of_leaving_the_old_one() -> None:
    loop = driving()
    loop.say("go " * 200)
    loop.commands.clear()
    loop.run(1.0)
    expected = "instruction of 599 characters refused: expected at most 500"
    assert {command for _, command in loop.commands} == {Command(0.0, 0.0, DriveState.STOPPED, expected)}
    loop.say("go" + " " * 600)  # blanks at the ends do not count
    assert loop.run(1.0).state is DriveState.DRIVING


def test_a_camera_that_never_came_is_named() -> None:
    loop = Loop(camera=False)
    loop.say("go")
    assert loop.run(1.0) == Command(0.0, 0.0, DriveState.STOPPED, "camera: no usable frame for 1.00 s")


def test_limits_and_times_change_only_while_it_stands_disarmed() -> None:
    loop = driving()
    stricter = LIMITS.tightened({"linear_x_max": 0.2})
    with pytest.raises(RuntimeError, match="disarmed and stands"):
        loop.controller.configure(stricter, CONFIG)
    loop.controller.disarm("by request")
    with pytest.raises(RuntimeError, match="disarmed and stands"):
        loop.controller.configure(stricter, CONFIG)
    loop.run(2.0)
    loop.controller.configure(stricter, CONFIG)
    assert loop.controller.arm(loop.now, loop.steady) is None
    assert loop.run(2.0).linear_x == pytest.approx(0.2)
