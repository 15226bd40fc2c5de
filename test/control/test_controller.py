import itertools
import math
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from mobile_vla_ros.control import ActionPlan, Command, ControllerConfig, DriveController, DriveState, Limits

LIMITS = Limits(
    linear_x_min=0.0,
    linear_x_max=0.5,
    angular_z_max=1.0,
    linear_acceleration=1.0,
    angular_acceleration=3.0,
    linear_jerk=10.0,
    angular_jerk=30.0,
)
DT, ROWS, TICK = 0.2, 8, 0.05
CONFIG = ControllerConfig(dt=DT)
DEADLINE = 0.5  # s from the last sign of life of camera or policy to a zero command


def make_plan(
    stamp: float, instruction_id: int, velocity: tuple[float, float] = (0.4, 0.2), stop: float = 0.0
) -> ActionPlan:
    return ActionPlan(stamp, DT, np.tile(np.float32(velocity), (ROWS, 1)), np.full(ROWS, stop), instruction_id)


@dataclass
class Loop:
    """Camera at 10 Hz, policy that answers after `latency`, control timer at 20 Hz; each can be cut off."""

    latency: float = 0.1
    velocity: tuple[float, float] = (0.4, 0.2)
    stop: float = 0.0
    camera: bool = True
    policy: bool = True
    offset: float = 1000.0  # of the clock that stamps frames, to the steady one

    def __post_init__(self) -> None:
        self.controller = DriveController(LIMITS, CONFIG)
        self.steady = 0.0
        self.ticks = 0
        self.last_frame = self.said = 0.0
        self.answers: list[tuple[float, ActionPlan]] = []
        self.commands: list[tuple[float, Command]] = []

    @property
    def now(self) -> float:
        return self.steady + self.offset

    def say(self, text: str) -> int:
        return self.controller.set_instruction(text, self.now, self.steady)

    def run(self, duration: float) -> Command:
        for _ in range(round(duration / TICK)):
            self.ticks += 1
            self.steady = self.ticks * TICK
            if self.camera and self.ticks % 2 == 0:
                self.last_frame = self.steady
                if self.controller.on_frame(self.now, self.now, self.steady) and self.policy:
                    self.answers.append((self.steady + self.latency, self.answer(self.now)))
            while self.answers and self.answers[0][0] <= self.steady + 1e-9:
                self.controller.accept(self.answers.pop(0)[1], self.now, self.steady)
            command = self.controller.command(self.now, self.steady)
            self.observe(command, self.commands[-1][1] if self.commands else command)
            self.commands.append((self.steady, command))
        return self.commands[-1][1]

    def answer(self, stamp: float) -> ActionPlan:
        return make_plan(stamp, self.controller.instruction_id, self.velocity, self.stop)

    def observe(self, command: Command, before: Command) -> None:
        """What a test wants to see at every tick."""


def driving() -> Loop:
    loop = Loop()
    loop.run(0.3)
    loop.say("go to the red box")
    command = loop.run(2.0)
    assert command.state is DriveState.DRIVING
    assert (command.linear_x, command.angular_z) == pytest.approx(loop.velocity)
    return loop


def is_zero(command: Command) -> bool:
    return command.linear_x == 0.0 and command.angular_z == 0.0


def test_it_waits_without_an_instruction() -> None:
    command = Loop().run(1.0)
    assert command == Command(0.0, 0.0, DriveState.WAITING, "no instruction")


def test_it_waits_for_the_first_plan() -> None:
    loop = Loop(policy=False)
    loop.run(0.3)
    loop.say("go")
    assert loop.run(0.1) == Command(0.0, 0.0, DriveState.WAITING, "no plan yet")


def test_it_drives_as_the_plan_says() -> None:
    driving()


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
    controller = DriveController(LIMITS, ControllerConfig(dt=DT, policy_timeout=10.0))
    number = controller.set_instruction("go", loop.now, loop.steady)
    controller.accept(make_plan(stamp, number), stamp, 0.0)
    commands = []
    for tick in range(40):
        time = tick * TICK
        controller.on_frame(stamp + time + 1e-6, stamp + time, time)
        commands.append((time, controller.command(stamp + time, time)))
    assert commands[14][1].linear_x == pytest.approx(0.4, abs=1e-3)
    speeds = [command.linear_x for time, command in commands if time > CONFIG.plan_timeout - TICK]
    assert speeds == sorted(speeds, reverse=True)
    assert max(a - b for a, b in itertools.pairwise(speeds)) <= 1.0 * TICK + 1e-9
    assert is_zero(commands[-1][1])
    assert commands[-1][1].state is DriveState.STOPPED
    assert commands[-1][1].reason.startswith("the plan is used up (0.8")


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


def test_a_new_plan_takes_over_within_the_blend_time() -> None:
    loose = Limits(-9.0, 9.0, 9.0, 1e6, 1e6, 1e9, 1e9)
    controller = DriveController(loose, ControllerConfig(dt=DT, control_hz=100.0, blend_time=0.1))
    number = controller.set_instruction("go", 0.0, 0.0)
    controller.accept(make_plan(0.0, number, (1.0, 0.0)), 0.0, 0.0)
    controller.command(0.0, 0.0)
    controller.command(0.01, 0.01)
    controller.accept(make_plan(0.01, number, (2.0, 1.0)), 0.02, 0.02)
    # From the last command on, which was wholly of the plan before.
    for time, share in ((0.02, 0.1), (0.06, 0.5), (0.11, 1.0), (0.2, 1.0)):
        command = controller.command(time, time)
        assert (command.linear_x, command.angular_z) == pytest.approx((1.0 + share, share))


def test_a_new_plan_takes_over_without_a_step() -> None:
    loop = driving()
    before = loop.commands[-1][1]
    loop.velocity = (0.45, -0.6)
    loop.commands.clear()
    loop.run(1.0)
    previous = before
    for _, command in loop.commands:
        assert abs(command.linear_x - previous.linear_x) <= 1.0 * TICK + 1e-9
        assert abs(command.angular_z - previous.angular_z) <= 3.0 * TICK + 1e-9
        previous = command


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("dt", 0.0),
        ("camera_timeout", math.nan),
        ("stop_threshold", 1.5),
        ("blend_time", -1.0),
        ("control_hz", 0.0),
    ],
)
def test_a_configuration_out_of_range_is_refused(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{field} = "):
        ControllerConfig(**{"dt": DT, field: value})


anything = st.one_of(st.floats(allow_nan=True, allow_infinity=True), st.floats(-1.0, 1.0))


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["frame", "plan", "command", "instruction", "refuse", "fail"]),
            anything,
            anything,
            anything,
        ),
        max_size=60,
    )
)
def test_whatever_comes_in_what_goes_out_is_finite_and_within_the_limits(
    events: list[tuple[str, float, float, float]],
) -> None:
    controller = DriveController(LIMITS, CONFIG)
    controller.set_instruction("go", 0.0, 0.0)
    for event, a, b, c in events:
        if event == "frame":
            controller.on_frame(a, b, c)
        elif event == "plan":
            velocity = np.array([[a, b]] * ROWS)
            controller.accept(ActionPlan(b, DT, velocity, np.full(ROWS, c), controller.instruction_id), b, c)
        elif event == "instruction":
            controller.set_instruction("go" if a > 0 else "", b, c)
        elif event == "refuse":
            controller.refuse_frame("bad", b)
        elif event == "fail":
            controller.policy_failed("bad")
        command = controller.command(b, c)
        assert 0.0 <= command.linear_x <= 0.5
        assert abs(command.angular_z) <= 1.0
        assert command.state is DriveState.DRIVING or is_zero(command)


class CheckedLoop(Loop):
    """A loop in which every single tick must keep the promises; answers turn left or right by instruction."""

    def say(self, text: str) -> int:
        self.said = self.steady
        return super().say(text)

    def answer(self, stamp: float) -> ActionPlan:
        number = self.controller.instruction_id
        v, w = self.velocity
        return make_plan(stamp, number, (v, w if number % 2 else -w), self.stop)

    def observe(self, command: Command, before: Command) -> None:
        assert 0.0 <= command.linear_x <= 0.5
        assert abs(command.angular_z) <= 1.0
        if command.state is not DriveState.DRIVING:
            assert is_zero(command)
            assert command.reason or command.state is DriveState.DONE
        if is_zero(command):
            return
        # Never quicker than the limits allow; only to zero, by a fault, at once.
        assert abs(command.linear_x - before.linear_x) <= 1.0 * TICK + 1e-9
        assert abs(command.angular_z - before.angular_z) <= 3.0 * TICK + 1e-9
        assert self.controller.instruction
        assert self.steady - self.last_frame <= CONFIG.camera_timeout + 1e-9
        of_another = (command.angular_z > 0.0) != bool(self.controller.instruction_id % 2)
        if of_another and command.angular_z != 0.0 and self.steady > self.said + 2 * TICK + 1e-9:
            assert abs(command.angular_z) < abs(before.angular_z)  # what is left of the old motion only fades


class AnyRun(RuleBasedStateMachine):
    """Faults in any order and at any time."""

    @initialize()
    def start(self) -> None:
        self.loop = CheckedLoop()
        self.loop.run(0.3)
        self.loop.say("go to the red box")

    @rule(ticks=st.integers(1, 40))
    def go_on(self, ticks: int) -> None:
        self.loop.run(ticks * TICK)

    @rule(text=st.sampled_from(["go to the red box", "turn left", "turn right", " "]), ticks=st.integers(1, 20))
    def instruct(self, text: str, ticks: int) -> None:
        self.loop.say(text)
        self.loop.run(ticks * TICK)

    @rule(camera=st.booleans(), policy=st.booleans(), ticks=st.integers(1, 30))
    def cut_or_restore(self, camera: bool, policy: bool, ticks: int) -> None:
        self.loop.camera, self.loop.policy = camera, policy
        self.loop.run(ticks * TICK)

    @rule(
        velocity=st.tuples(st.floats(-2.0, 2.0), st.floats(0.0, 3.0)),
        stop=st.floats(0.0, 1.0),
        latency=st.sampled_from([0.0, 0.05, 0.1, 0.25, 0.4, 2.0]),
        ticks=st.integers(1, 30),
    )
    def want(self, velocity: tuple[float, float], stop: float, latency: float, ticks: int) -> None:
        self.loop.velocity, self.loop.stop, self.loop.latency = velocity, stop, latency
        self.loop.run(ticks * TICK)

    @rule(jump=st.sampled_from([-100.0, -1.0, 1.0, 100.0]))
    def jump(self, jump: float) -> None:
        self.loop.offset += jump
        self.loop.answers.clear()
        assert is_zero(self.loop.run(TICK))

    @rule(velocity=st.sampled_from([(math.nan, 0.0), (0.1, math.inf)]))
    def answer_nonsense(self, velocity: tuple[float, float]) -> None:
        loop = self.loop
        plan = make_plan(loop.now, loop.controller.instruction_id, velocity)
        loop.controller.accept(plan, loop.now, loop.steady)
        assert is_zero(loop.run(TICK))

    @rule()
    def refuse_a_frame(self) -> None:
        self.loop.camera, camera = False, self.loop.camera
        self.loop.controller.refuse_frame("corrupt", self.loop.steady)
        self.loop.answers.clear()
        assert is_zero(self.loop.run(TICK))
        self.loop.camera = camera

    @rule()
    def fail(self) -> None:
        self.loop.controller.policy_failed("broken")
        assert is_zero(self.loop.run(TICK))


TestAnyRun = AnyRun.TestCase
TestAnyRun.settings = settings(max_examples=100, stateful_step_count=30, derandomize=True, deadline=None)
