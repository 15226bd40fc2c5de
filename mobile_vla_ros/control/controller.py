"""The drive controller: frames, instructions and plans go in, one velocity command per tick comes out."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from enum import Enum

from .gate import FrameGate
from .limits import REST, Limits, Velocity, VelocityLimiter
from .plan import ActionPlan
from .watchdog import ClockGuard, Watchdog


class DriveState(str, Enum):
    """What the controller is doing. The command is exactly zero in every state but DRIVING."""

    WAITING = "waiting"  # no instruction, or none of its plans yet
    DRIVING = "driving"  # following a plan, or slowing down within the limits (the reason then says why)
    DONE = "done"  # the task is done; until the next instruction
    STOPPED = "stopped"  # a fault, which the reason names


@dataclass(frozen=True)
class Command:
    """A velocity for the base and why it is that.

    Attributes:
        linear_x: m/s, forward.
        angular_z: rad/s, counter-clockwise.
        state: what the controller is doing.
        reason: for people; empty while all is well.
    """

    linear_x: float
    angular_z: float
    state: DriveState
    reason: str


@dataclass(frozen=True)
class ControllerConfig:
    """Times and thresholds of the controller.

    From the last frame (or from the moment the policy got work and went silent) to a zero command it takes at
    most `camera_timeout` (`policy_timeout`) and two control periods, the second for what waits to be read:
    0.40 s with these values. That leaves 0.1 s for transport and a busy machine within the 0.5 s that a base
    waits at most.

    Attributes:
        dt: s between recurrent steps; must be the policy's.
        control_hz: how often `command` is called.
        camera_timeout: s without a usable frame, and age of a frame on arrival, from which on the command is
            zero.
        policy_timeout: s that the policy may work on a frame before the command is zero.
        plan_timeout: s after its stamp from which on a plan is not followed (the robot slows down to zero).
        blend_time: s over which a new plan takes over from the one before.
        stop_threshold: probability from which on a plan says that the task is done.
        stop_confirmations: plans in a row that must say so.
        future_tolerance: s that a stamp may lie ahead of the clock.
        clock_tolerance: s that the clock may jump.

    Raises:
        ValueError: a value out of range; the message names it.
    """

    dt: float
    control_hz: float = 20.0
    camera_timeout: float = 0.3
    policy_timeout: float = 0.3
    plan_timeout: float = 0.8
    blend_time: float = 0.1
    stop_threshold: float = 0.5
    stop_confirmations: int = 3
    future_tolerance: float = 0.1
    clock_tolerance: float = 0.5

    def __post_init__(self) -> None:
        may_be_zero = ("blend_time", "future_tolerance", "clock_tolerance")
        for field in fields(self):
            value = getattr(self, field.name)
            if not (math.isfinite(value) and (value >= 0.0 if field.name in may_be_zero else value > 0.0)):
                expected = "at least 0" if field.name in may_be_zero else "above 0"
                raise ValueError(f"{field.name} = {value}: expected a finite number, {expected}")
        if self.stop_threshold > 1.0:
            raise ValueError(f"stop_threshold = {self.stop_threshold}: expected a probability")


class DriveController:
    """Turns frames, instructions and plans into commands; the only part that decides whether the robot moves.

    It runs on two clocks, both passed in as seconds: `now`, the clock that stamps frames (ROS or simulated
    time), by which plans are looked up; and `steady`, which never jumps or stands still, for watchdogs and
    ramps.

    The command is zero unless everything is fresh, finite and asked for. Faults give zero at once, without a
    ramp, and drop the plan; the robot moves again with the next plan from a fresh frame. A failed policy is
    different: it stays stopped until an instruction is sent anew. A plan that has ended, a finished task and
    a change of instruction are no faults: the robot slows down within its limits.

    Not thread-safe: call everything from one thread.

    Attributes:
        instruction: the sentence being followed; empty: none.
        instruction_id: its number; plans must carry it.
        refusal: why the last `accept` refused its plan; None if it did not.
    """

    def __init__(self, limits: Limits, config: ControllerConfig) -> None:
        self._config = config
        self._limiter = VelocityLimiter(limits)
        self._gate = FrameGate(config.dt)
        self._clock = ClockGuard(config.clock_tolerance)
        self._camera = Watchdog(config.camera_timeout)
        self._policy = Watchdog(config.policy_timeout)
        self.instruction = ""
        self.instruction_id = 0
        self.refusal: str | None = None
        self._newest_frame = -math.inf  # stamp, s
        self._bad_frame = ""  # what was wrong with the last frame; empty: nothing
        self._refused, self._refused_at = "", -math.inf  # the last frame that could not be used; s, steady
        self._requested = -math.inf  # stamp of the newest frame given to the policy, s
        self._newest_plan = -math.inf  # stamp, s
        self._plan: ActionPlan | None = None
        self._plan_before: ActionPlan | None = None
        self._taken_over = -math.inf  # `now` from which on _plan takes over, s
        self._commanded = -math.inf  # `now` of the last command, s
        self._confirmations = 0
        self._done = False
        self._failure = ""  # of the policy; empty: none
        self._pause = ""  # why there is no plan; empty: none came yet
        self._last_tick: float | None = None  # steady, s

    def set_instruction(self, text: str, now: float, steady: float) -> int:
        """Follow `text` from now on; empty (or blank): none, the command is zero.

        The old plan is dropped at once. Each call counts, also with the same words: it ends `done` and gives
        a policy that failed another try.

        Args:
            text: the sentence; blanks at its ends do not count.
            now: s, clock of the frames.
            steady: s, steady clock.

        Returns:
            The number that plans for it must carry.
        """
        self.instruction = text.strip()
        self.instruction_id += 1
        self._drop_plan("" if self.instruction else "no instruction")
        self._gate.reset()
        self._policy.clear()
        self._requested = -math.inf
        self._newest_plan = -math.inf
        self._done = False
        self._failure = ""
        if not self.instruction:
            self._limiter.stop()
        return self.instruction_id

    def on_frame(self, stamp: float, now: float, steady: float) -> bool:
        """Note a frame that arrived.

        Args:
            stamp: s, the frame's own stamp.
            now: s, clock of the frames.
            steady: s, steady clock.

        Returns:
            Whether the policy is to make a recurrent step with this frame.
        """
        self._bad_frame = self._fault_of_frame(stamp, now)
        if self._bad_frame:
            return False
        self._newest_frame = stamp
        self._camera.start(steady)
        if not self.instruction or self._done or self._failure or not self._gate.take(stamp):
            return False
        self._requested = stamp
        if not self._policy.running:
            self._policy.start(steady)
        return True

    def refuse_frame(self, reason: str, steady: float, stamp: float | None = None) -> None:
        """A frame cannot be used (unknown encoding, corrupt): zero, for as long as a silent camera is borne.

        So a camera that sends good and bad frames by turns does not make the robot creep.

        Args:
            reason: what is wrong with it.
            steady: s, steady clock.
            stamp: s, of the frame, if `on_frame` had asked for a step with it.
        """
        self._refused, self._refused_at = reason, steady
        self._halt(reason)
        if stamp is not None:
            self._answered(stamp, steady)

    def policy_failed(self, reason: str) -> None:
        """The policy raised or died: zero until an instruction is sent anew."""
        self._failure = reason
        self._policy.clear()
        self._halt(reason)

    def accept(self, plan: ActionPlan, now: float, steady: float) -> None:
        """Follow `plan` from now on, unless it is refused; then `refusal` and the command's reason say why.

        Refused are plans for another instruction, older than the newest one, from the future, or too old to
        be followed. A plan that is malformed or not finite is a failure of the policy.

        Args:
            plan: answer to a frame that `on_frame` asked a step for.
            now: s, clock of the frames.
            steady: s, steady clock.
        """
        self.refusal = None
        if plan.instruction_id != self.instruction_id:
            self.refusal = f"plan for instruction {plan.instruction_id}, now it is {self.instruction_id}"
            return
        defect = plan.defect()
        if defect is not None:
            self.refusal = f"policy: {defect}"
            self.policy_failed(self.refusal)
            return
        self._answered(plan.stamp, steady)
        if not self.instruction or self._done or self._failure:
            self.refusal = "no plan is wanted"
            return
        self.refusal = self._untimely(plan, now)
        if self.refusal is not None:
            if self._plan is None:
                self._pause = self.refusal
            return
        self._newest_plan = plan.stamp
        # The last command was wholly of the plan before: from there one blends into the other.
        self._plan_before, self._plan, self._taken_over = self._plan, plan, min(now, self._commanded)
        self._pause = ""
        says_done = (plan.stop_at(now) or 0.0) >= self._config.stop_threshold
        self._confirmations = self._confirmations + 1 if says_done else 0
        if self._confirmations >= self._config.stop_confirmations:
            self._done = True
            self._drop_plan("task done")

    def command(self, now: float, steady: float) -> Command:
        """The command for this tick; to be called `control_hz` times a second.

        Args:
            now: s, clock of the frames.
            steady: s, steady clock.
        """
        last, self._last_tick = self._last_tick, steady
        self._commanded = now
        jump = self._clock.jump(now, steady)
        if jump is not None:
            self._forget_times()
            self._halt(jump)
        if not self.instruction:
            return Command(0.0, 0.0, DriveState.WAITING, "no instruction")
        if self._failure:
            return Command(0.0, 0.0, DriveState.STOPPED, self._failure)
        if self._done and self._limiter.at_rest:
            return Command(0.0, 0.0, DriveState.DONE, "")
        fault = jump or self._fault(steady)
        if fault:
            self._halt(fault)
            return Command(0.0, 0.0, DriveState.STOPPED, fault)
        target = self._target(now)
        tick = 0.0 if last is None else min(steady - last, 2.0 / self._config.control_hz)
        linear_x, angular_z = self._limiter.towards(target, tick) if tick > 0.0 else self._limiter.velocity
        return Command(linear_x, angular_z, *self._state())

    def _fault_of_frame(self, stamp: float, now: float) -> str:
        age = now - stamp
        if not math.isfinite(age):
            return f"frame stamped {stamp} s at {now} s"
        if abs(age) > 1e6:
            return f"frame stamped {stamp:.2f} s at {now:.2f} s: is use_sim_time right?"
        if age < -self._config.future_tolerance:
            return f"frame stamped {-age:.2f} s in the future"
        if age > self._config.camera_timeout:
            return f"frame already {age:.2f} s old on arrival"
        if stamp <= self._newest_frame:
            return "frame whose stamp does not advance"
        return ""

    def _untimely(self, plan: ActionPlan, now: float) -> str | None:
        age = now - plan.stamp
        if plan.stamp <= self._newest_plan:
            return f"plan from a frame {self._newest_plan - plan.stamp:.2f} s older than the present one's"
        if not age >= -self._config.future_tolerance:
            return f"plan from a frame {-age:.2f} s in the future"
        if age > self._config.plan_timeout or plan.at(now) is None:
            return f"policy too slow: its plan was already {age:.2f} s old"
        return None

    def _answered(self, stamp: float, steady: float) -> None:
        """The policy is done with the frame of `stamp`; it may have the next one at hand already."""
        if stamp < self._requested:
            self._policy.start(steady)
        else:
            self._policy.clear()

    def _fault(self, steady: float) -> str:
        if steady - self._refused_at <= self._config.camera_timeout:
            return self._refused
        silence = self._camera.overdue(steady)
        if silence is not None:
            return f"camera: no usable frame for {silence:.2f} s{_in_brackets(self._bad_frame)}"
        silence = self._policy.overdue(steady)
        return "" if silence is None else f"policy: no answer for {silence:.2f} s"

    def _target(self, now: float) -> Velocity:
        """Velocity (m/s, rad/s) wanted at `now`; rest, and no plan any more, if the plan has run out."""
        if self._plan is None:
            return REST
        wanted = self._plan.at(now) if now - self._plan.stamp <= self._config.plan_timeout else None
        if wanted is None:
            self._drop_plan(f"the plan is used up ({now - self._plan.stamp:.2f} s old)")
            return REST
        before = None if self._plan_before is None else self._plan_before.at(now)
        share = (now - self._taken_over) / self._config.blend_time if self._config.blend_time > 0.0 else 1.0
        if before is None or share >= 1.0:
            self._plan_before = None
            return wanted
        share = max(share, 0.0)
        return (
            (1.0 - share) * before[0] + share * wanted[0],
            (1.0 - share) * before[1] + share * wanted[1],
        )

    def _state(self) -> tuple[DriveState, str]:
        if self._plan is not None:
            return DriveState.DRIVING, ""
        if not self._limiter.at_rest:
            return DriveState.DRIVING, f"slowing down: {self._pause or 'new instruction'}"
        if self._done:
            return DriveState.DONE, ""
        if self._pause:
            return DriveState.STOPPED, self._pause
        return DriveState.WAITING, f"no plan yet{_in_brackets(self._bad_frame)}"

    def _drop_plan(self, why: str) -> None:
        self._plan = self._plan_before = None
        self._confirmations = 0
        self._pause = why

    def _halt(self, why: str) -> None:
        self._drop_plan(why)
        self._limiter.stop()

    def _forget_times(self) -> None:
        """Stamps of the time before a jump mean nothing after it."""
        self._newest_frame = self._newest_plan = self._requested = -math.inf
        self._gate.reset()
        self._policy.clear()


def _in_brackets(text: str) -> str:
    return f" ({text})" if text else ""
