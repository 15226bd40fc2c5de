"""The drive controller: frames, instructions and plans go in, one velocity command per tick comes out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from mobile_vla_models.sentence import StopSentences, instruction_fault, normalize_instruction

from .arming import Arming
from .cameras import Cameras
from .configuration import ControllerConfig
from .done import DoneDetector
from .follower import PlanFollower
from .gate import FrameGate
from .limits import Braking, Limits, VelocityLimiter
from .odometry import PoseHistory, StampedPose
from .plan import ActionPlan, ActionRange
from .repetition import Repetition
from .requests import Requests
from .watchdog import ClockGuard, Watchdog

STOPPED_BY = "stopped by the instruction"  # begins the reason after a sentence that means stop
STARVED = 4.0  # control periods between two ticks from which on what the robot did in between was not controlled


class DriveState(str, Enum):
    """What the controller is doing. The command is exactly zero in every state but DRIVING."""

    DISARMED = "disarmed"  # it may not move; the reason says why
    WAITING = "waiting"  # no instruction, or none of its plans yet
    DRIVING = "driving"  # following a plan, or slowing down within the limits (the reason then says why)
    DONE = "done"  # the task is done; until the next instruction
    STOPPED = "stopped"  # a fault or an emergency stop, which the reason names


_NO_INSTRUCTION = (DriveState.WAITING, "no instruction")


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


class DriveController:
    """Turns frames, instructions and plans into commands; the only part that decides whether the robot moves.

    It runs on two clocks, both passed in as seconds: `now`, the clock that stamps frames (ROS or simulated
    time), by which plans are looked up; and `steady`, which never jumps or stands still, for watchdogs and
    ramps.

    The command is zero unless the robot is armed and everything is fresh, finite and asked for. Faults give zero at
    once, without a ramp, and drop the plan; the robot moves again with a plan from a frame stamped after the fault. A
    failed policy is different: it stays stopped until an instruction is sent anew. An emergency stop latches, and ends
    the instruction with it; so does the silence of its topic, where that has to be heard. A plan that has ended, a
    finished task, a change of instruction and disarming are no faults: the robot brakes, within limits of their own.

    Not thread-safe: only one thread at a time may call it.

    Args:
        limits: of the motion.
        config: times and thresholds.
        action_range: that the policy declares of its own output.
        arming: permission to move, where it has to outlive this controller; None: one of its own, disarmed.
        cameras: names of those whose frames the policy takes.
        stop_sentences: Sentences that mean stop; None: none does.
        braking: Limits of every ramp to rest; None: those of `BaseLimits()`.

    Attributes:
        arming: permission to move; to be changed through this class.
        instruction: the sentence being followed; empty: none.
        instruction_id: its number; plans must carry it.
        refusal: why the last `accept` refused its plan; None if it did not.
    """

    def __init__(
        self,
        limits: Limits,
        config: ControllerConfig,
        action_range: ActionRange,
        arming: Arming | None = None,
        cameras: Sequence[str] = ("camera",),
        stop_sentences: StopSentences | None = None,
        braking: Braking | None = None,
    ) -> None:
        self._range, self._names = action_range, tuple(cameras)
        self._cameras = Cameras(self._names, config, limits)
        self.arming = Arming() if arming is None else arming
        self.instruction = ""
        self.instruction_id = 0
        self.refusal: str | None = None
        self._stop_sentences = StopSentences() if stop_sentences is None else stop_sentences
        self._repetition = Repetition()
        self._idle = _NO_INSTRUCTION  # state and reason while there is no instruction
        self._hint = ""  # what to do about a repetition that was not taken for a new task; empty: there was none
        self._refused, self._refused_at = "", -math.inf  # the last frame that could not be used; s, steady
        self._requests = Requests(config.policy_timeout)
        self._fresh_from = -math.inf  # stamp from which on frames are used, s
        self._done = False
        self._failure = ""  # of the policy; empty: none
        self._pause = ""  # why there is no plan; empty: none came yet
        self._last_tick: float | None = None  # steady, s
        self._limiter = VelocityLimiter(limits, braking)
        self.configure(limits, config, braking)

    def configure(self, limits: Limits, config: ControllerConfig, braking: Braking | None = None) -> None:
        """Take other limits, times and thresholds; what waits for something begins anew; a frozen picture does not.

        Raises:
            RuntimeError: the robot is armed, or still slowing down.
        """
        if self.may_move:
            raise RuntimeError("limits, times and thresholds change only while the robot is disarmed and stands")
        self._config = config
        self._limiter = VelocityLimiter(limits, braking)
        self._gate = FrameGate(config.dt)
        self._clock = ClockGuard(config.clock_tolerance)
        self._cameras.configure(config, limits)
        self._requests.watchdog.timeout = config.policy_timeout
        self._odometry = Watchdog(config.odometry_timeout)
        self._poses = PoseHistory(limits)
        self._follower = PlanFollower(config, self._poses if config.reproject else None)
        self._detector = DoneDetector(config.stop_threshold, config.stop_release, config.stop_dwell, config.dt)

    @property
    def may_move(self) -> bool:
        """It is armed, or still slowing down."""
        return self.arming.armed or not self._limiter.at_rest

    @property
    def watchdogs(self) -> dict[str, Watchdog]:
        """What they wait for, by name."""
        return self._cameras.watchdogs | {
            "policy": self._requests.watchdog,
            "odometry": self._odometry,
            "emergency stop": self.arming.heartbeat,
        }

    def arm(self, now: float, steady: float) -> str | None:
        """Allow motion from now on; the reason if that is refused, else None.

        Only frames stamped from now on count. Camera and, if it is used, odometry are awaited from now on.

        Args:
            now: s, clock of the frames.
            steady: s, steady clock.
        """
        if self.arming.armed:
            return None
        refusal = self.arming.arm(steady)
        if refusal is None:
            self._fresh_from = now
            self._pause = ""
            self._cameras.await_frames(steady)
            if self._config.odometry_timeout > 0.0:
                self._odometry.start(steady)
        return refusal

    def disarm(self, reason: str, at_once: bool = False) -> None:
        """Slow down within the limits, or stand at once, until armed again; the instruction stays."""
        self.arming.disarm(reason)
        self._drop_plan(reason)
        self._expect_nothing()
        if at_once:
            self._limiter.stop()

    def rest(self, reason: str) -> None:
        """Stand at once, disarmed; the instruction ends, and so do the ticks, for a while."""
        self._last_tick = None
        self.arming.disarm(reason)
        self.withdraw()

    def withdraw(self) -> None:
        """End the instruction, and stand at once; whoever latches `arming` calls it too."""
        self.instruction = ""
        self.instruction_id += 1
        self._idle, self._hint = _NO_INSTRUCTION, ""
        self._repetition.forget()
        self._expect_nothing()
        self._halt("no instruction")

    def set_instruction(self, text: str, steady: float | None = None) -> int:
        """Follow a sentence from now on, unless it repeats the last one; zero at once if it asks for none.

        It asks for none if it is empty or means stop, and it is refused if it is too long, has no letter or has control
        characters. A new task drops the old plan at once, ends `done`, gives a policy that failed another try, and an
        image that did not change another chance. The same words are a new task as `Repetition` says.

        Args:
            text: The instruction, as it was received.
            steady: Time of its reception, s, steady clock; None: it is a new task, whatever was before.

        Returns:
            The number that plans for it must carry; that of the last one if it is no new task.
        """
        sentence = normalize_instruction(text)
        idle = self._asks_for_none(sentence)
        if idle is None:
            followed, timeout = self._wanted and not self._cameras.frozen, self._config.same_instruction_timeout
            if steady is None:
                self._repetition.forget()
            elif self._repetition.is_repeated(sentence, steady, timeout, followed):
                if not followed:
                    self._hint = f"the same words are a new task after {timeout:g} s without them"
                return self.instruction_id
        else:
            self._repetition.end()
        self.instruction = sentence if idle is None else ""
        self.instruction_id += 1
        self._idle, self._hint = idle or _NO_INSTRUCTION, ""
        self._drop_plan("")
        self._expect_nothing()
        self._follower.forget()
        self._cameras.thaw()
        self._done = False
        self._failure = ""
        if not self.instruction:
            self._limiter.stop()
        return self.instruction_id

    def on_frame(self, stamp: float, now: float, steady: float, digest: int | None = None) -> bool:
        """`see` and `step_due` in one, where there is one camera."""
        return self.see(self._names[0], stamp, now, steady, digest) and self.step_due(stamp, steady)

    def see(self, camera: str, stamp: float, now: float, steady: float, digest: int | None = None) -> bool:
        """Note a frame that arrived.

        Args:
            camera: its name.
            stamp: s, the frame's own stamp.
            now: s, clock of the frames.
            steady: s, steady clock.
            digest: of its content: other for another picture; None: not known.

        Returns:
            Whether it can be used.
        """
        return self._cameras.take(camera, stamp, now, steady, digest)

    def step_due(self, stamp: float, steady: float) -> bool:
        """Note that there is a usable frame of each camera, of nearly the same moment.

        Args:
            stamp: s, of the oldest of them.
            steady: s, steady clock.

        Returns:
            Whether the policy is to make a recurrent step with them.
        """
        self._cameras.complete(steady)
        wanted = self._wants_plans and not self._cameras.frozen and stamp >= self._fresh_from
        if not wanted or not self._gate.take(stamp):
            return False
        self._requests.ask(stamp, steady)
        return True

    def on_odometry(self, steady: float, pose: StampedPose | None = None) -> None:
        """Note that odometry arrived; counts where `odometry_timeout` is above 0.

        Args:
            steady: s, steady clock.
            pose: what it says; where `reproject` is on, odometry without a pose that can be used does not count.
        """
        if self._config.reproject:
            if pose is None or not self._poses.takes(pose):
                return
            if not self._poses.add(pose) and self._follower.plan is not None:
                self._drop_plan("odometry jumped")
        if self._odometry.running:
            self._odometry.start(steady)

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
        if stamp is not None and not self._requests.void(stamp):
            self._requests.answered(stamp, steady)

    def policy_failed(self, reason: str) -> None:
        """The policy raised or died: zero until an instruction is sent anew."""
        self._failure = reason
        self._requests.expect_nothing()
        self._halt(reason)

    def failed_before(self, steady: float) -> None:
        """The policy raised over a frame for another instruction, and goes on with the next one at `steady` (s)."""
        self._requests.begin_next(steady)

    def accept(self, plan: ActionPlan, now: float, steady: float) -> None:
        """Follow `plan` from now on, unless it is refused; then `refusal` and the command's reason say why.

        Refused are plans for another instruction, older than the newest one, from the future, too old to
        be followed, or from a frame of before the last fault. A plan that is malformed, not finite or out of the
        policy's own range is a failure of the policy.

        Args:
            plan: answer to a frame that `on_frame` asked a step for.
            now: s, clock of the frames.
            steady: s, steady clock.
        """
        self.refusal = None
        if plan.instruction_id != self.instruction_id:
            self._requests.begin_next(steady)
            self.refusal = f"plan for instruction {plan.instruction_id}, now it is {self.instruction_id}"
            return
        defect = plan.defect(self._range)
        if defect is not None:
            self.refusal = f"policy: {defect}"
            self.policy_failed(self.refusal)
            return
        if self._requests.void(plan.stamp):
            self._requests.begin_next(steady)
            self.refusal = "plan from a frame of before the clock jumped"
            return
        self._requests.answered(plan.stamp, steady)
        if not self._wants_plans:
            self.refusal = "no plan is wanted"
            return
        self.refusal = self._follower.follow(plan, now, self._fresh_from)
        if self.refusal is not None:
            if self._follower.plan is None:
                self._pause = self.refusal
            return
        self._pause = ""
        if self._detector.done(plan.stop_at(now) or 0.0, plan.stamp):
            self._done = True
            self._drop_plan("task done")

    def command(self, now: float, steady: float) -> Command:
        """The command for this tick; to be called `control_hz` times a second.

        Args:
            now: s, clock of the frames.
            steady: s, steady clock.
        """
        last, self._last_tick = self._last_tick, steady
        gap = 0.0 if last is None else steady - last
        late = gap > STARVED / self._config.control_hz
        if late:
            self.arming.excuse_silence(gap, steady)
        elif self.may_move and self.arming.stop_if_silent(steady):
            self.withdraw()
        jump = self._clock.jump(now, steady)
        if jump is not None:
            self._forget_times()
        fault = jump or (self._starved(gap) if late else "") or self._fault(now, steady)
        if fault:
            self._halt(fault)
            self._fresh_from = now if math.isfinite(now) else -math.inf
        standing = self._standing(fault)
        if standing is not None:
            self._limiter.stop()
            return Command(0.0, 0.0, *standing)
        target = self._follower.target(now, self._limiter.velocity)
        if target is None and self._follower.plan is not None:
            self._drop_plan(f"the plan is used up ({now - self._follower.plan.stamp:.2f} s old)")
        tick = min(gap, 2.0 / self._config.control_hz)
        velocity = self._limiter.velocity
        if tick > 0.0:
            velocity = self._limiter.brake(tick) if target is None else self._limiter.towards(target, tick)
        self._cameras.move(velocity, tick)
        return Command(*velocity, *self._moving())

    @property
    def _wants_plans(self) -> bool:
        return self.arming.armed and self._wanted

    @property
    def _wanted(self) -> bool:
        """There is an instruction whose task is not done, and whose policy has not failed."""
        return bool(self.instruction) and not self._done and not self._failure

    def _asks_for_none(self, sentence: str) -> tuple[DriveState, str] | None:
        """State and reason after a normalised sentence that is no task; None: it is one."""
        if not sentence:
            return _NO_INSTRUCTION
        fault = instruction_fault(sentence)
        if fault:
            return DriveState.STOPPED, fault
        if sentence in self._stop_sentences:
            return DriveState.WAITING, f"{STOPPED_BY} {sentence!r}"
        return None

    def _starved(self, gap: float) -> str:
        """What a tick that comes so late means: nobody watched over the motion meanwhile, if there was any."""
        moving = self._follower.plan is not None or not self._limiter.at_rest
        return f"the control loop was held up for {gap:.2f} s" if moving else ""

    def _fault(self, now: float, steady: float) -> str:
        if steady - self._refused_at <= self._config.camera_timeout:
            return self._refused
        blind = self._cameras.silent(steady) or self._cameras.frozen
        if blind:
            return blind
        odometry = self._odometry_fault(now, steady) if self._odometry.running else ""
        if odometry:
            return odometry
        silence = self._requests.watchdog.overdue(steady)
        return "" if silence is None else f"policy: no answer for {silence:.2f} s"

    def _odometry_fault(self, now: float, steady: float) -> str:
        newest = self._poses.newest
        age = 0.0 if newest is None else now - newest.stamp
        if age < -self._config.future_tolerance:
            self._poses.forget()  # else every pose would count as older, until that time has come
            return f"odometry: its newest pose is {age:.2f} s old"
        silence = self._odometry.overdue(steady)
        if silence is not None:
            return f"odometry: none for {silence:.2f} s"
        return "" if age <= self._config.odometry_timeout else f"odometry: its newest pose is {age:.2f} s old"

    def _standing(self, fault: str) -> tuple[DriveState, str] | None:
        """Why the robot stands still, whatever a plan says; None: it does not have to."""
        arming = self.arming
        if arming.latched:
            return DriveState.STOPPED, f"emergency stop: {arming.latched}"
        if not arming.armed and self._limiter.at_rest:
            return DriveState.DISARMED, arming.reason
        if not self.instruction:
            return self._idle[0], self._hinted(self._idle[1])
        if self._failure:
            return DriveState.STOPPED, self._hinted(self._failure)
        if self._done and self._limiter.at_rest:
            return DriveState.DONE, self._hint
        return (DriveState.STOPPED, self._hinted(fault)) if fault else None

    def _hinted(self, reason: str) -> str:
        return f"{reason}; {self._hint}" if self._hint else reason

    def _moving(self) -> tuple[DriveState, str]:
        """State and reason after a step towards the target."""
        if self._follower.plan is not None:
            return DriveState.DRIVING, ""
        if not self._limiter.at_rest:
            return DriveState.DRIVING, f"slowing down: {self._pause or 'new instruction'}"
        if not self.arming.armed:
            return DriveState.DISARMED, self.arming.reason
        if self._done:
            return DriveState.DONE, ""
        if self._pause:
            return DriveState.STOPPED, self._pause
        return DriveState.WAITING, f"no plan yet{_in_brackets(self._cameras.bad_frame)}"

    def _drop_plan(self, why: str) -> None:
        self._follower.drop()
        self._detector.clear()
        self._pause = why

    def _halt(self, why: str) -> None:
        self._drop_plan(why)
        self._limiter.stop()

    def _expect_nothing(self) -> None:
        """What the policy was asked for is not awaited any more; its next frame is the next that comes."""
        self._gate.reset()
        self._requests.expect_nothing()

    def _forget_times(self) -> None:
        """Stamps of the time before a jump mean nothing after it."""
        self._cameras.forget_stamps()
        self._follower.forget()
        self._poses.forget()
        self._gate.reset()
        self._requests.forget()


def _in_brackets(text: str) -> str:
    return f" ({text})" if text else ""
