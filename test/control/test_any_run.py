"""Whatever happens, in any order and at any time: every single command keeps the promises.

10,000 runs of each: pytest test/control/test_any_run.py --hypothesis-profile=thorough --timeout=0
"""

import math
from dataclasses import replace

import numpy as np
import pytest
from drive_loop import CONFIG, DT, HEARTBEAT_TIMEOUT, LIMITS, RANGE, ROWS, TICK, Loop, is_zero, make_plan
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from properties import cases

from mobile_vla_ros.control import (
    ActionPlan,
    Arming,
    Command,
    ControllerConfig,
    DriveController,
    DriveState,
    StampedPose,
)
from mobile_vla_ros.control.controller import STARVED

# s from `~/disarm` to rest, from wherever it is.
ROLLS = LIMITS.linear_x_max / LIMITS.linear_acceleration + LIMITS.linear_acceleration / LIMITS.linear_jerk + 3.0 * TICK
anything = st.one_of(st.floats(allow_nan=True, allow_infinity=True), st.floats(-1.0, 1.0))
ORDERS = ["instruction", "arm", "disarm", "stop", "reset"]
EVENTS = ["frame", "plan", "command", "refuse", "fail", "odometry", "heartbeat", *ORDERS]


@cases
@given(
    st.lists(st.tuples(st.sampled_from(EVENTS), anything, anything, anything), max_size=60),
    st.sampled_from([CONFIG, replace(CONFIG, odometry_timeout=0.5, reproject=True)]),
    st.sampled_from([0.0, HEARTBEAT_TIMEOUT]),
)
def test_whatever_numbers_come_in_what_goes_out_is_finite_and_within_the_limits(
    events: list[tuple[str, float, float, float]], config: ControllerConfig, timeout: float
) -> None:
    controller = DriveController(LIMITS, config, RANGE, Arming(timeout))
    controller.arming.press(False, 0.0)
    controller.arm(0.0, 0.0)
    controller.set_instruction("go")
    for event, a, b, c in events:
        if event == "frame":
            controller.on_frame(a, b, c)
        elif event == "plan":
            velocity = np.array([[a, b]] * ROWS)
            controller.accept(ActionPlan(b, DT, velocity, np.full(ROWS, c), controller.instruction_id), b, c)
        elif event == "instruction":
            controller.set_instruction("go" if a > 0 else "")
        elif event == "refuse":
            controller.refuse_frame("bad", b)
        elif event == "fail":
            controller.policy_failed("bad")
        elif event == "odometry":
            controller.on_odometry(c, StampedPose(b, a, c, a))
        elif event == "arm":
            controller.arm(b, c)
        elif event == "disarm":
            controller.disarm("by request")
        elif event == "stop":
            controller.arming.stop("pressed")
            controller.withdraw()
        elif event == "reset":
            controller.arming.reset()
        elif event == "heartbeat":
            controller.arming.press(False, c)
        command = controller.command(b, c)
        assert 0.0 <= command.linear_x <= 0.5
        assert abs(command.angular_z) <= 1.0
        assert command.state is DriveState.DRIVING or is_zero(command)


class CheckedLoop(Loop):
    """Every tick must keep the promises; answers turn left or right by instruction."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.may_move_until = math.inf  # s, steady: a ramp after disarming ends
        self.same_picture_since = 0.0

    def say(self, text: str) -> int:
        self.said = self.steady
        return super().say(text)

    def answer(self, stamp: float) -> ActionPlan:
        number = self.controller.instruction_id
        v, w = self.velocity
        return make_plan(stamp, number, (v, w if number % 2 else -w), self.stop)

    def observe(self, command: Command, before: Command) -> None:
        assert 0.0 <= command.linear_x <= LIMITS.linear_x_max
        assert abs(command.angular_z) <= LIMITS.angular_z_max
        controller, arming = self.controller, self.controller.arming
        if command.state is not DriveState.DRIVING:
            assert is_zero(command)
            assert command.reason or command.state is DriveState.DONE
        assert not arming.latched or command.reason == f"emergency stop: {arming.latched}"
        assert arming.armed or arming.latched or command.state in (DriveState.DISARMED, DriveState.DRIVING)
        if is_zero(command):
            return
        # Never quicker than the limits allow; only to zero, by a fault, at once.
        assert abs(command.linear_x - before.linear_x) <= LIMITS.linear_acceleration * TICK + 1e-9
        assert abs(command.angular_z - before.angular_z) <= LIMITS.angular_acceleration * TICK + 1e-9
        assert controller.instruction
        assert not arming.latched
        if not arming.armed:  # the ramp only fades, and ends
            assert abs(command.linear_x) <= abs(before.linear_x)
            assert abs(command.angular_z) <= abs(before.angular_z)
            assert self.steady <= self.may_move_until
        assert self.steady - self.last_frame <= CONFIG.camera_timeout + 1e-9
        assert self.steady - self.last_heartbeat <= HEARTBEAT_TIMEOUT + 1e-9
        of_another = (command.angular_z > 0.0) != bool(controller.instruction_id % 2)
        if of_another and command.angular_z != 0.0:
            assert abs(command.angular_z) < abs(before.angular_z)


class AnyRun(RuleBasedStateMachine):
    """Faults, orders and answers in any order and at any time."""

    @initialize()
    def start(self) -> None:
        self.loop = CheckedLoop(heartbeat=True)
        self.excused = -math.inf  # s, steady: the last hold-up that counts as a heartbeat
        self.loop.run(0.3)
        self.loop.say("go to the red box")

    @rule(ticks=st.integers(1, 40))
    def go_on(self, ticks: int) -> None:
        self.loop.run(ticks * TICK)

    @rule(
        text=st.sampled_from(["go to the red box", "turn left", "turn right", " ", "x" * 501, "stop", "..."]),
        ticks=st.integers(1, 20),
    )
    def instruct(self, text: str, ticks: int) -> None:
        self.loop.say(text)
        self.loop.run(ticks * TICK)

    @rule(camera=st.booleans(), policy=st.booleans(), frozen=st.booleans(), ticks=st.integers(1, 30))
    def cut_or_restore(self, camera: bool, policy: bool, frozen: bool, ticks: int) -> None:
        self.loop.camera, self.loop.policy, self.loop.frozen = camera, policy, frozen
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

    @rule(heartbeat=st.booleans(), ticks=st.integers(1, 20))
    def silence_or_hear_the_emergency_stop(self, heartbeat: bool, ticks: int) -> None:
        self.loop.heartbeat = heartbeat
        self.loop.run(ticks * TICK)

    @rule()
    def arm(self) -> None:
        loop = self.loop
        silent = loop.steady - loop.last_heartbeat > HEARTBEAT_TIMEOUT and not loop.controller.arming.armed
        assert (loop.arm() is None) == (not loop.controller.arming.latched and not silent)
        loop.run(TICK)

    @rule(ticks=st.integers(1, 30))
    def disarm(self, ticks: int) -> None:
        if self.loop.controller.arming.armed:
            self.loop.may_move_until = self.loop.steady + ROLLS
        self.loop.controller.disarm("by request")
        self.loop.run(ticks * TICK)

    @rule()
    def stop(self) -> None:
        self.loop.emergency_stop("by request")
        assert is_zero(self.loop.run(TICK))

    @rule(pressed=st.booleans())
    def press(self, pressed: bool) -> None:
        self.loop.press(pressed)
        assert is_zero(self.loop.run(TICK)) or not pressed

    @rule()
    def reset(self) -> None:
        latched, pressed = self.loop.controller.arming.latched, self.loop.controller.arming.pressed
        assert (self.loop.controller.arming.reset() is None) == (bool(latched) and not pressed)
        assert not latched or is_zero(self.loop.run(TICK))

    @rule(jump=st.sampled_from([-100.0, -1.0, 1.0, 100.0]))
    def jump(self, jump: float) -> None:
        self.loop.offset += jump
        assert is_zero(self.loop.run(TICK))

    @rule(periods=st.integers(int(STARVED) + 1, 40))
    def starve(self, periods: int) -> None:
        loop = self.loop
        excused = loop.last_heartbeat != self.excused and loop.steady - loop.last_heartbeat <= HEARTBEAT_TIMEOUT
        assert is_zero(loop.tick(periods * TICK))
        if excused and not loop.heartbeat:  # what came meanwhile may wait to be read: once
            loop.last_heartbeat = self.excused = loop.steady

    @rule(velocity=st.sampled_from([(math.nan, 0.0), (0.1, math.inf), (2.5, 0.0), (0.0, -3.5)]))
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
TestAnyRun.settings = settings(cases, stateful_step_count=30)


@cases
@given(st.floats(0.0, 2.0), st.floats(-3.0, 3.0))
def test_a_robot_that_sets_off_and_comes_to_rest_keeps_the_curvature(linear_x: float, angular_z: float) -> None:
    loop = Loop(velocity=(linear_x, angular_z))
    loop.say("go")
    loop.run(2.0)
    loop.controller.disarm("by request")
    loop.run(1.5)
    v, w = loop.velocity
    for _, command in loop.commands:
        assert command.angular_z * v == pytest.approx(command.linear_x * w, abs=1e-6)
    assert loop.commands[-1][1].state is DriveState.DISARMED


@pytest.mark.parametrize("hz", [10.0, 20.0, 50.0])
@cases
@given(fault=st.floats(0.0, 0.4))
def test_a_dead_camera_is_zero_within_its_timeout_and_one_period(hz: float, fault: float) -> None:
    config = ControllerConfig(dt=DT, control_hz=hz)
    controller = DriveController(LIMITS, config, RANGE)
    controller.arm(0.0, 0.0)
    number = controller.set_instruction("go")
    controller.on_frame(fault, fault, fault)
    controller.accept(make_plan(fault, number), fault, fault)
    for tick in range(round(2.0 * hz)):
        time = fault + tick / hz
        command = controller.command(time, time)
        if time > fault + config.camera_timeout + 1.0 / hz:
            assert is_zero(command)
