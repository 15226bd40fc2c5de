"""Hours of driving in simulated time, with faults at random: no zero may be missed, and nothing may grow."""

from __future__ import annotations

import random
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from ..control import DriveState
from ..policy_node.machine import resident_memory
from .bounds import Command, Rules, breaches
from .oracle import Oracle
from .policy import BRAKING, VALUES
from .promises import FULL_SPEED
from .world import GENTLE, TICK, DeadlockError, Surroundings, World

GROWTH = 0.02  # of the resident memory, from the first tenth on
RECOVERY = 3.0  # s without a fault after which it must drive at full speed
RULES = Rules(GENTLE, BRAKING, TICK, slack=1e-6)
MOST = 20  # findings that are kept in words

Doing = Callable[[World, random.Random], None]


def _around(**changes: object) -> Doing:
    def do(world: World, _: random.Random) -> None:
        for name, value in changes.items():
            setattr(world.around, name, value)

    return do


def _policy(fault: str) -> Doing:
    def do(world: World, _: random.Random) -> None:
        world.policy.fault = fault

    return do


def _starve(world: World, draw: random.Random) -> None:
    world.around.starved = draw.randint(5, 40)


FAULTS: Mapping[str, Doing] = {
    "camera silent": _around(camera=False),
    "camera frozen": _around(frozen=True),
    "unknown encoding": _around(encoding="32FC1"),
    "stamps in the past": _around(stamp_error=-5.0),
    "stamps in the future": _around(stamp_error=5.0),
    "odometry silent": _around(odometry=False),
    "clock jumps": lambda world, draw: world.jump(draw.choice([-100.0, -1.0, 1.0, 100.0])),
    "control loop held up": _starve,
    "policy late": lambda world, draw: setattr(world.around, "latency", draw.choice([0.25, 0.4, 0.9, 1.5])),
    **{f"policy: {fault}": _policy(fault) for fault in (*VALUES, "raise", "die", "shape", "probability", "done")},
    "instruction empty": lambda world, _: world.instruct(" "),
    "stop in words": lambda world, _: world.instruct("Don't move!"),
    "instruction without a letter": lambda world, _: world.instruct("..."),
    "instruction too long": lambda world, _: world.instruct("on and " * 100),
    "another instruction": lambda world, draw: world.instruct(draw.choice(["to the left", "to the right"])),
    "disarmed": lambda world, _: world.disarm(),
    "emergency_stop silent": _around(heartbeat=False),
    "emergency stop": lambda world, _: world.stop(),
    "restart": lambda world, _: world.restart(),
}


@dataclass
class Figures:
    """What came of it.

    Attributes:
        simulated, real: s.
        commands: that were judged.
        driving: share of them that are not zero.
        steps: of the policy.
        faults: how often each was done.
        zeros_due: commands that had to be zero.
        missed: how many of these were not.
        out_of_bounds: how many commands broke a limit.
        stuck: how often it did not drive `RECOVERY` s after the last fault.
        deadlock: what waited in vain; empty: nothing.
        longest_tick: s of real time.
        memory: MiB resident after a tenth, and at the end.
        findings: the first of what was wrong, in words.
    """

    simulated: float = 0.0
    real: float = 0.0
    commands: int = 0
    driving: float = 0.0
    steps: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    zeros_due: int = 0
    missed: int = 0
    out_of_bounds: int = 0
    stuck: int = 0
    deadlock: str = ""
    longest_tick: float = 0.0
    memory: tuple[float, float] = (0.0, 0.0)
    findings: list[str] = field(default_factory=list)

    @property
    def growth(self) -> float:
        """Of the memory, as a share."""
        return self.memory[1] / self.memory[0] - 1.0 if self.memory[0] else 0.0

    @property
    def passed(self) -> bool:
        """Nothing was wrong."""
        wrong = self.missed or self.out_of_bounds or self.stuck or self.deadlock
        return not wrong and self.growth <= GROWTH and self.commands > 0

    def document(self) -> dict[str, Any]:
        """As plain types, for JSON."""
        return {**vars(self), "faults": dict(self.faults), "growth": self.growth, "passed": self.passed}

    def find(self, text: str) -> None:
        """Keep what was wrong, unless there is enough of it."""
        if len(self.findings) < MOST:
            self.findings.append(text)


class Soak:
    """One run.

    Args:
        seed: of the faults.
        world: that they happen in.
    """

    def __init__(self, seed: int, world: World) -> None:
        self.figures = Figures()
        self._draw = random.Random(seed)
        self._world = world
        self._oracle = Oracle(world)
        self._last: deque[Command] = deque(maxlen=3)
        self._moving = 0

    def episode(self) -> None:
        """Drive without a fault until it must drive at full speed, then do up to three faults, which last a while."""
        draw, world = self._draw, self._world
        self._heal()
        self._run(RECOVERY)
        if self._last[-1].linear_x < FULL_SPEED:
            self.figures.stuck += 1
            self.figures.find(f"{world.steady:.2f} s: it does not drive {RECOVERY:g} s after the last fault was lifted")
        for name in draw.choices(list(FAULTS), k=draw.randint(1, 3)):
            self.figures.faults[name] += 1
            FAULTS[name](world, draw)
            self._oracle.forget_picture()
            self._run(draw.uniform(0.0, 2.5))

    def _heal(self) -> None:
        world = self._world
        world.around = Surroundings()
        world.policy.fault = ""
        if not world.alive:
            world.restart()
        world.arming.reset()
        world.arming.press(False, world.steady)
        world.controller.arm(world.now, world.steady)
        world.instruct("to the left")
        self._oracle.forget_picture()

    def _run(self, seconds: float) -> None:
        end = self._world.steady + seconds
        while self._world.steady < end:
            self._tick()

    def _tick(self) -> None:
        world, figures = self._world, self.figures
        begin = time.monotonic()
        answer = world.tick()
        figures.longest_tick = max(figures.longest_tick, time.monotonic() - begin)
        command = Command(world.steady, world.steady, answer.linear_x, answer.angular_z)
        self._last.append(command)
        figures.commands += 1
        self._moving += not command.is_zero
        reason = self._oracle.must_stand()
        self._oracle.see(answer)
        if reason:
            figures.zeros_due += 1
            if not command.is_zero:
                figures.missed += 1
                figures.find(f"{world.steady:.2f} s: {command} in spite of {reason}")
        wrong = list(breaches(self._last, RULES, abrupt=answer.state is not DriveState.DRIVING))
        if wrong:
            figures.out_of_bounds += 1
            figures.find(f"{world.steady:.2f} s: {wrong[0]}")
        figures.simulated, figures.steps = world.steady, world.steps
        figures.driving = self._moving / figures.commands


def soak(seconds: float, seed: int, console: Console) -> Figures:
    """Drive so many simulated seconds, with progress on the console."""
    world, begin = World(), time.monotonic()
    run = Soak(seed, world)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[said]}"), TimeElapsedColumn())
    first = 0.0
    try:
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task(f"{seconds:g} simulated s", total=seconds, said="")
            while world.steady < seconds:
                run.episode()
                figures = run.figures
                if not first and world.steady >= seconds / 10.0:
                    first = resident_memory() or 0.0
                said = f"{figures.faults.total()} faults, {len(figures.findings)} findings"
                progress.update(task, completed=min(world.steady, seconds), said=said)
        world.close()
    except DeadlockError as error:
        run.figures.deadlock = str(error)
        run.figures.find(str(error))
    run.figures.memory = (first, resident_memory() or 0.0)
    run.figures.real = time.monotonic() - begin
    return run.figures
