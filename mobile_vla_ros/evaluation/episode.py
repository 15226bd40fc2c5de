"""One closed-loop run in simulated time, with the control core and the policy called as the node calls them."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..control import DriveState, Limits
from ..control.stepper import Policy
from ..sim.pilot import CONTROL_HZ, Pilot
from ..sim.scene import Scene
from ..sim.task import REACHED_GAP, Outcome, Task, TaskMonitor, at_object, edge_gap
from ..sim.world import World
from .free_path import free_path

FRAME_TICKS = 2  # control ticks per camera frame: 10 Hz
PATH_PERIOD = 0.2  # s between points of the driven path
LISTEN = 1.0  # s and a latency after the end: a robot may stand before its `stop` is confirmed
MIN_FREE = 0.2  # m: nearer targets say nothing about a path's length

Picture = NDArray[np.uint8]


def as_seen(picture: Picture) -> Picture:
    """The picture as it is."""
    return picture


@dataclass(frozen=True)
class EpisodeResult:
    """How a run ended.

    Attributes:
        kind: of the task, "go_to", "turn_left"...
        instruction: the sentence that the policy was given.
        target: the object that the task means, if any.
        outcome: reached, wrong object, collision or time-out, judged by the true task.
        at: names of the objects that the robot stood at in the end.
        touched: what it ran into, if it did.
        seconds: simulated.
        said_done: the policy's `stop` ended the run, or would have.
        done_gap: m, from rim to the target's edge where it said so; None if it did not, or there is no target.
        driven: m.
        free: m, the shortest way to where the expert would stand at the target; None without one.
        path: places (m, room frame), one every 0.2 s, the first and the last among them.
    """

    kind: str
    instruction: str
    target: str | None
    outcome: Outcome
    at: tuple[str, ...]
    touched: str | None
    seconds: float
    said_done: bool
    done_gap: float | None
    driven: float
    free: float | None
    path: tuple[tuple[float, float], ...]

    @property
    def reached(self) -> bool:
        """The task was done."""
        return self.outcome is Outcome.REACHED

    @property
    def stopped_there(self) -> bool:
        """It said that it is done within 0.6 m of the target."""
        return self.done_gap is not None and self.done_gap <= REACHED_GAP

    @property
    def path_efficiency(self) -> float | None:
        """The run's term of SPL (Anderson et al., 2018); None where there is nothing to drive."""
        if self.free is None or self.free < MIN_FREE:
            return None
        return self.free / max(self.driven, self.free) if self.reached else 0.0

    def to_dict(self) -> dict[str, Any]:
        """For JSON: all but the path."""
        document = {**asdict(self), "outcome": self.outcome.value, "path_efficiency": self.path_efficiency}
        del document["path"]
        return document


def run_episode(
    policy: Policy,
    dt: float,
    limits: Limits,
    scene: Scene,
    task: Task,
    instruction: str,
    latency: float,
    camera: Callable[[Picture], Picture] = as_seen,
    time_limit: float = 30.0,
) -> EpisodeResult:
    """Drive one run; `Pilot` says how the policy is called, and what a latency is.

    Args:
        policy: its history is reset.
        dt: s, the policy's recurrent step.
        limits: the policy's motion limits.
        scene: the room; the run begins at its start pose.
        task: by which the run is judged.
        instruction: what the policy is told; the task's own sentence, or another.
        latency: s from a frame to its plan; a whole number of control ticks.
        camera: what becomes of each picture.
        time_limit: s.

    Raises:
        ValueError: a latency that the loop cannot keep.
    """
    period = 1.0 / CONTROL_HZ
    pilot = Pilot(policy, dt, limits, latency)
    with closing(World(scene)) as world:
        referee = Referee(world, task, instruction, latency, time_limit)
        pilot.instruct(instruction)
        tick = 0
        while True:
            if tick % FRAME_TICKS == 0 and pilot.wants(tick):
                pilot.see(camera(world.render()), tick)
            command = pilot.command(tick)
            if command.state is DriveState.DONE:
                referee.say_done()
            world.command(command.linear_x, command.angular_z)
            world.step(period)
            tick += 1
            result = referee.look()
            if result is not None:
                return result


class Referee:
    """Judges a run by the true task, and notes what happens on the way. The run begins now.

    Args:
        world: in which the robot stands at its start.
        task: by which the run is judged.
        instruction: what the policy is told.
        latency: s for which what the policy says may be under way.
        time_limit: s, simulated.
    """

    def __init__(self, world: World, task: Task, instruction: str, latency: float, time_limit: float = 30.0) -> None:
        self._world, self._task, self._instruction, self._latency = world, task, instruction, latency
        self._target = next((item for item in world.scene.objects if item.name == task.target), None)
        self._monitor = TaskMonitor(task, world.scene, world.pose, 0.0, time_limit)
        self._begin = world.time
        self._start = self._last = world.pose
        self._path = [(round(self._last.x, 3), round(self._last.y, 3))]
        self._noted = 0.0  # s from the beginning, of the last point of the path
        self._driven = 0.0
        self._said_done = False
        self._done_gap: float | None = None
        self._judged: EpisodeResult | None = None
        self._end = math.inf  # s from the beginning, until which it is listened to

    def say_done(self) -> None:
        """The policy says that it is done; what counts is the first time."""
        if not self._said_done:
            self._said_done = True
            self._done_gap = None if self._target is None else round(edge_gap(self._world.pose, self._target), 3)

    def look(self) -> EpisodeResult | None:
        """Take the world's present state, at least every 0.1 s and at every contact; the result when the run is over.

        That is when it has been judged, and the policy has said that it is done or had time to.
        """
        world = self._world
        seconds = world.time - self._begin
        if self._judged is None:
            self._move(seconds)
            outcome = self._monitor.update(seconds, world.pose, world.velocity, world.touched)
            if outcome is None:
                return None
            self._judged = self._result(outcome, seconds)
            stands = outcome in (Outcome.REACHED, Outcome.WRONG_OBJECT)
            self._end = seconds + (self._latency + LISTEN if stands else 0.0)
        if not self._said_done and seconds < self._end - 1e-9:
            return None
        return replace(self._judged, said_done=self._said_done, done_gap=self._done_gap)

    def _move(self, seconds: float) -> None:
        pose = self._world.pose
        self._driven += math.hypot(pose.x - self._last.x, pose.y - self._last.y)
        self._last = pose
        if seconds >= self._noted + PATH_PERIOD - 1e-9:
            self._noted = seconds
            self._path.append((round(pose.x, 3), round(pose.y, 3)))

    def _result(self, outcome: Outcome, seconds: float) -> EpisodeResult:
        world, target = self._world, self._target
        return EpisodeResult(
            kind=self._task.kind.value,
            instruction=self._instruction,
            target=self._task.target,
            outcome=outcome,
            at=tuple(item.name for item in world.scene.objects if at_object(world.pose, item)),
            touched=world.touched,
            seconds=round(seconds, 2),
            said_done=self._said_done,
            done_gap=self._done_gap,
            driven=round(self._driven, 3),
            free=None if target is None else round(free_path(world.scene, self._start, target), 3),
            path=(*self._path, (round(world.pose.x, 3), round(world.pose.y, 3))),
        )
