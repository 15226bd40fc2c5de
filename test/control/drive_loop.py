"""A loop around the controller: a camera at 10 Hz, a policy that answers after a while, a timer at 20 Hz."""

from dataclasses import dataclass

import numpy as np

from mobile_vla_ros.control import ActionPlan, ActionRange, Command, ControllerConfig, DriveController, Limits

LIMITS = Limits(
    linear_x_min=0.0,
    linear_x_max=0.5,
    angular_z_max=1.0,
    linear_acceleration=1.0,
    angular_acceleration=3.0,
    linear_jerk=10.0,
    angular_jerk=30.0,
)
RANGE = ActionRange((-2.0, -3.0), (2.0, 3.0))
DT, ROWS, TICK = 0.2, 8, 0.05
CONFIG = ControllerConfig(dt=DT)
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
    armed: bool = True

    def __post_init__(self) -> None:
        self.controller = DriveController(LIMITS, self.config, RANGE)
        self.steady = 0.0
        self.ticks = 0
        self.last_frame = self.said = 0.0
        self.digest = 0
        self.answers: list[tuple[float, ActionPlan]] = []
        self.commands: list[tuple[float, Command]] = []
        if self.armed:
            self.arm()

    @property
    def now(self) -> float:
        return self.steady + self.offset

    def arm(self) -> str | None:
        return self.controller.arm(self.now, self.steady)

    def say(self, text: str) -> int:
        return self.controller.set_instruction(text, self.now, self.steady)

    def run(self, duration: float) -> Command:
        for _ in range(round(duration / TICK)):
            self.tick(TICK)
        return self.commands[-1][1]

    def tick(self, period: float) -> Command:
        """One tick of the timer, `period` s after the last one."""
        self.ticks += 1
        self.steady = round(self.steady + period, 6)
        if self.camera and self.ticks % 2 == 0:
            self.last_frame = self.steady
            self.digest += not self.frozen
            if self.controller.on_frame(self.now, self.now, self.steady, self.digest) and self.policy:
                self.answers.append((self.steady + self.latency, self.answer(self.now)))
        while self.answers and self.answers[0][0] <= self.steady + 1e-9:
            self.controller.accept(self.answers.pop(0)[1], self.now, self.steady)
        command = self.controller.command(self.now, self.steady)
        self.observe(command, self.commands[-1][1] if self.commands else command)
        self.commands.append((self.steady, command))
        return command

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
