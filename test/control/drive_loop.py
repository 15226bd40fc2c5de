"""A loop around the controller: a camera at 10 Hz, a policy that takes its time for each answer, a timer at 20 Hz."""

from dataclasses import dataclass

import numpy as np

from mobile_vla_models.sentence import StopSentences
from mobile_vla_ros.control import ActionPlan, ActionRange, Arming, Command, ControllerConfig, DriveController, Limits
from mobile_vla_ros.faults.policy import DT, LIMITS, ROWS

RANGE = ActionRange((-2.0, -3.0), (2.0, 3.0))
TICK = 0.05
CONFIG = ControllerConfig(dt=DT)
HEARTBEAT_TIMEOUT = 0.3  # s
DEADLINE = 0.5  # s from the last sign of life of camera or policy to a zero command


def make_plan(
    stamp: float, instruction_id: int, velocity: tuple[float, float] = (0.4, 0.2), stop: float = 0.0
) -> ActionPlan:
    return ActionPlan(stamp, DT, np.tile(np.float32(velocity), (ROWS, 1)), np.full(ROWS, stop), instruction_id)


def is_zero(command: Command) -> bool:
    return command.linear_x == 0.0 and command.angular_z == 0.0


@dataclass
class Loop:
    """The parts can be cut off, one by one; it is armed at its first tick, unless that is refused."""

    latency: float = 0.1
    velocity: tuple[float, float] = (0.4, 0.2)
    stop: float = 0.0
    camera: bool = True
    frozen: bool = False  # the camera sends the same picture again and again
    policy: bool = True
    offset: float = 1000.0  # of the clock that stamps frames, to the steady one
    config: ControllerConfig = CONFIG
    limits: Limits = LIMITS
    armed: bool = True
    stop_sentences: StopSentences | None = None
    heartbeat: bool | None = None  # the emergency stop's topic says `false` at each tick; None: it need not

    def __post_init__(self) -> None:
        arming = Arming(0.0 if self.heartbeat is None else HEARTBEAT_TIMEOUT)
        self.controller = DriveController(self.limits, self.config, RANGE, arming, stop_sentences=self.stop_sentences)
        self.steady = 0.0
        self.ticks = 0
        self.last_frame = self.last_heartbeat = self.said = 0.0
        self.digest = 0
        self.answers: list[tuple[float, ActionPlan]] = []  # what the policy works on, and when it is done: s, steady
        self.waiting: ActionPlan | None = None  # what it takes up next
        self.commands: list[tuple[float, Command]] = []
        if self.heartbeat:
            self.beat()
        if self.armed:
            self.arm()

    @property
    def now(self) -> float:
        return self.steady + self.offset

    def arm(self) -> str | None:
        """As the node does: with the limits and times of the moment, where the robot stands."""
        if not self.controller.may_move:
            self.controller.configure(self.limits, self.config)
        return self.controller.arm(self.now, self.steady)

    def say(self, text: str) -> int:
        before = self.controller.instruction_id
        number = self.controller.set_instruction(text, self.steady)
        if number != before:
            self.waiting = None
        return number

    def emergency_stop(self, reason: str) -> None:
        self.controller.arming.stop(reason)
        self._withdraw()

    def press(self, pressed: bool) -> None:
        again = self.controller.arming.pressed
        self.controller.arming.press(pressed, self.steady)
        self.last_heartbeat = self.steady
        if pressed and not again:
            self._withdraw()

    def beat(self) -> None:
        """The emergency stop's topic says again what it said last."""
        self.press(self.controller.arming.pressed)

    def _withdraw(self) -> None:
        self.waiting = None
        self.controller.withdraw()

    def run(self, duration: float) -> Command:
        for _ in range(round(duration / TICK)):
            self.tick(TICK)
        return self.commands[-1][1]

    def tick(self, period: float) -> Command:
        """One tick of the timer, `period` s after the last one."""
        self.ticks += 1
        self.steady = round(self.steady + period, 6)
        if self.heartbeat:
            self.beat()
        if self.camera and self.ticks % 2 == 0:
            self.last_frame = self.steady
            self.digest += not self.frozen
            if self.controller.on_frame(self.now, self.now, self.steady, self.digest) and self.policy:
                self.waiting = self.answer(self.now)
        self._work()
        command = self.controller.command(self.now, self.steady)
        self.observe(command, self.commands[-1][1] if self.commands else command)
        self.commands.append((self.steady, command))
        return command

    def _work(self) -> None:
        """The policy's one thread: a frame that comes while it works replaces the one that waits."""
        while True:
            if self.waiting is not None and not self.answers:
                self.answers.append((self.steady + self.latency, self.waiting))
                self.waiting = None
            if not self.answers or self.answers[0][0] > self.steady + 1e-9:
                return
            self.controller.accept(self.answers.pop()[1], self.now, self.steady)

    def answer(self, stamp: float) -> ActionPlan:
        return make_plan(stamp, self.controller.instruction_id, self.velocity, self.stop)

    def observe(self, command: Command, before: Command) -> None:
        """What a test wants to see at every tick."""


def driving() -> Loop:
    loop = Loop()
    loop.run(0.3)
    loop.say("go to the red box")
    loop.run(2.0)
    return loop
