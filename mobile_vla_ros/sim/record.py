"""Recordings of the expert: each bag is one room with a chain of tasks, driven one after the other.

Either the expert drives, or a policy that the expert corrects; then the bag also says what the expert would have done.
"""

from __future__ import annotations

import dataclasses
import math
import multiprocessing
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import numpy as np
from rich.progress import Progress

from ..control.stepper import Policy
from ..drivable import base_limits, load_for_base
from .bag import BagWriter
from .base import ROBOT_RADIUS, Disturbance, Pose2D, wrap_angle
from .expert import Expert
from .pilot import CONTROL_HZ, Pilot
from .scene import START_CLEARANCE, Scene, is_free, sample_free_pose, sample_scene
from .takeover import Takeover
from .task import Outcome, Task, TaskKind, TaskMonitor, episode_rng, sample_task, sentences
from .world import World

PARTIAL = ".partial"  # folder in which bags are written until they are complete
COMMAND_PERIOD = 1.0 / CONTROL_HZ  # s
COMMANDS_PER_FRAME = 2
INSTRUCTION_LEAD = 0.01  # s from an instruction to the first frame that it is for
STAND_TIME = 1.2  # s of zero commands at a task's end
VISIBLE_PIXELS = 12  # of the target in a picture: fewer cannot be recognised

NEAR_OBJECT_SHARE, NEAR_WALL_SHARE = 0.25, 0.15  # of the start poses; the rest is uniform
MADE_UP_SHARE = 0.3  # of the sentences stand among words that mean nothing
INTERRUPTED_SHARE = 0.15  # of the tasks
INTERRUPT_AFTER = (0.8, 4.0)  # s
INTERRUPT_STOP_SHARE = 0.3  # of the interruptions say stop
PUSHED_SHARE = 0.6  # of the runs to an object
PUSH_INTERVAL = 4.0  # s, mean
LATENCY_TICKS = 7  # a corrected policy's plans come 0 to 6 control periods after their frames


class BasePolicy(Policy, Protocol):
    """A policy that drives a wheeled base; `mobile_vla_models.VLAPolicy` is one."""

    @property
    def config(self) -> Any:
        """Has `dt` (s), and what `base_limits` reads."""


@dataclass(frozen=True)
class RecordingSummary:
    """What was recorded.

    Attributes:
        bags: written now.
        present: found already recorded, left alone.
        tasks: instructions in the bags written now.
        seconds: simulated time in the bags written now.
        discarded: chains driven but not written, because the expert did not do a task.
    """

    bags: int
    present: int
    tasks: int
    seconds: float
    discarded: int


def record(out_dir: Path, bags: int, seed: int, workers: int = 1, policy: Path | None = None) -> RecordingSummary:
    """Record bags number 0 to `bags - 1` of the series `seed` into `out_dir`, one directory each.

    A bag appears under its name when it is complete; one that is there already is not recorded again. The
    same seed gives the same bags, whatever the number of workers.

    Args:
        out_dir: folder of the bags.
        bags: how many there are to be.
        seed: of the series.
        workers: processes.
        policy: directory of one that drives to objects, corrected by the expert; None: the expert drives.

    Raises:
        PolicyDirectoryError: the policy cannot be loaded, or drives something else than a wheeled base.
    """
    if policy is not None:
        load_for_base(policy)
    (out_dir / PARTIAL).mkdir(parents=True, exist_ok=True)
    missing = [index for index in range(bags) if not _bag_path(out_dir, seed, index).exists()]
    written = []
    # spawn: a renderer's context does not survive a fork.
    context = multiprocessing.get_context("spawn")
    with Progress() as progress, ProcessPoolExecutor(workers, mp_context=context) as pool:
        bar = progress.add_task(f"recording into {out_dir}", total=len(missing))
        jobs = [pool.submit(record_bag, out_dir, seed, index, policy) for index in missing]
        try:
            for job in as_completed(jobs):
                written.append(job.result())
                progress.advance(bar)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    return RecordingSummary(
        bags=len(written),
        present=bags - len(missing),
        tasks=sum(summary.tasks for summary in written),
        seconds=sum(summary.seconds for summary in written),
        discarded=sum(summary.discarded for summary in written),
    )


def record_bag(out_dir: Path, seed: int, index: int, policy: Path | None = None) -> RecordingSummary:
    """Record one bag; rooms in which a task is failed are discarded and drawn anew."""
    final = _bag_path(out_dir, seed, index)
    rng = episode_rng("record" if policy is None else "correct", seed, index)
    driver = None if policy is None else _opened(policy)
    discarded = 0
    while True:
        # A folder of its own: two recorders at work on the same series do not disturb each other.
        with TemporaryDirectory(dir=out_dir / PARTIAL) as folder:
            partial = Path(folder) / final.name
            try:
                with BagWriter(partial, corrected=driver is not None) as bag:
                    tasks, seconds = _drive_chain(bag, rng, driver)
            except _TaskFailedError:
                discarded += 1
                continue
            if not final.exists():
                partial.rename(final)
            return RecordingSummary(bags=1, present=0, tasks=tasks, seconds=seconds, discarded=discarded)


def sample_start(rng: np.random.Generator, scene: Scene) -> Pose2D:
    """A free pose: often close to an object or a wall and facing it, else anywhere in the room."""
    draw = rng.random()
    if draw >= NEAR_OBJECT_SHARE + NEAR_WALL_SHARE:
        return sample_free_pose(rng, scene.size, scene.objects)
    while True:
        pose = _near_object(rng, scene) if draw < NEAR_OBJECT_SHARE else _near_wall(rng, scene)
        if is_free(pose.x, pose.y, scene.size, scene.objects):
            return pose


class _TaskFailedError(Exception):
    """What was told was not done."""


class _Driver:
    """Drives task after task in one world and writes down what the robot sees and is told."""

    def __init__(
        self,
        bag: BagWriter,
        world: World,
        scene: Scene,
        rng: np.random.Generator,
        policy: BasePolicy | None,
    ) -> None:
        self._bag = bag
        self._world = world
        self._scene = scene
        self._rng = rng
        self._policy = policy
        self._tick = 0

    @property
    def time(self) -> float:
        """Simulated s since the start."""
        return self._tick * COMMAND_PERIOD

    def run(self, task: Task, interrupt_after: float) -> bool:
        """Drive one task to its end, or until it is interrupted.

        Args:
            task: what to do.
            interrupt_after: s after which the run is broken off, unless the task is done by then.

        Returns:
            True if the task was done, False if it was interrupted.

        Raises:
            _TaskFailedError: a contact, a wrong object, or out of time.
        """
        world, scene, start = self._world, self._scene, self.time
        expert = Expert(scene, task, world.pose)
        # How far a turn has come is told by the last seconds alone: held up on the way, nobody could say.
        takeover = self._takeover(self._policy, task) if self._policy is not None and task.target else None
        monitor = TaskMonitor(task, scene, world.pose, start)
        pushes = _Pushes(self._rng, start) if task.target and self._rng.random() < PUSHED_SHARE else None
        self._bag.instruction(start - INSTRUCTION_LEAD, task.instruction)
        done_since: float | None = None
        visible = False
        while True:
            if self._tick % COMMANDS_PER_FRAME == 0:
                if done_since is None and self.time - start >= interrupt_after:
                    return False
                picture = world.render()
                self._bag.picture(self.time, picture, world.camera_info())
                visible = self._sees(task.target)
                if takeover is not None:
                    takeover.look(picture, self._tick)
            self._bag.odometry(self.time, world.pose, world.velocity)
            command = expert.command(self.time, world.pose, visible)
            if self._policy is not None:
                self._bag.correction(self.time, command)
            if takeover is not None:
                command = takeover.command(self._tick, world.pose, command, expert.done)
            self._bag.command(self.time, command)
            world.command(*command)
            if expert.done and done_since is None:
                done_since = self.time
            world.drive.disturbance = pushes.at(self.time) if pushes and not expert.done else Disturbance()
            world.step(COMMAND_PERIOD)
            self._tick += 1
            outcome = monitor.update(self.time, world.pose, world.velocity, world.touched)
            if outcome is not None and outcome is not Outcome.REACHED:
                raise _TaskFailedError
            stood = done_since is not None and self.time - done_since >= STAND_TIME - 1e-6
            if outcome is Outcome.REACHED and stood and self._tick % COMMANDS_PER_FRAME == 0:
                return True

    def _takeover(self, policy: BasePolicy, task: Task) -> Takeover:
        latency = int(self._rng.integers(LATENCY_TICKS)) / CONTROL_HZ
        pilot = Pilot(policy, policy.config.dt, base_limits(policy.config), latency)
        takeover = Takeover(pilot, self._scene, task.target, self._rng)
        takeover.instruct(task.instruction)
        return takeover

    def _sees(self, target: str | None) -> bool:
        if target is None:
            return False
        label = 1 + next(number for number, item in enumerate(self._scene.objects) if item.name == target)
        return int(np.count_nonzero(self._world.segment() == label)) >= VISIBLE_PIXELS


class _Pushes:
    """Now and then the floor turns the robot aside, or lets its wheels slip, for a moment."""

    def __init__(self, rng: np.random.Generator, time: float) -> None:
        self._rng = rng
        self._begin = time + rng.exponential(PUSH_INTERVAL)
        self._draw()

    def at(self, time: float) -> Disturbance:
        """What happens at `time` (s, not decreasing)."""
        if time >= self._end:
            self._begin = self._end + self._rng.exponential(PUSH_INTERVAL)
            self._draw()
        return self._push if time >= self._begin else Disturbance()

    def _draw(self) -> None:
        self._end = self._begin + self._rng.uniform(0.3, 0.8)
        self._push = Disturbance(
            slip=self._rng.uniform(0.7, 1.2),
            linear_x=self._rng.uniform(-0.05, 0.05),
            angular_z=self._rng.uniform(-1.2, 1.2),
        )


@cache
def _opened(policy: Path) -> BasePolicy:
    """A process opens it once, and computes with one thread: the same seed gives the same bags."""
    return load_for_base(policy, threads=1)


def _drive_chain(bag: BagWriter, rng: np.random.Generator, policy: BasePolicy | None) -> tuple[int, float]:
    """Three or four tasks in one new room; their number and the simulated time (s)."""
    scene = sample_scene(rng)
    scene = dataclasses.replace(scene, start_pose=sample_start(rng, scene))
    count = int(rng.integers(3, 5))
    previous: str | None = None
    interrupted = False
    with closing(World(scene, seed=int(rng.integers(2**31)))) as world:
        driver = _Driver(bag, world, scene, rng, policy)
        for number in range(count):
            task = _next_task(rng, scene, world.pose, previous, interrupted)
            breakable = number + 1 < count and rng.random() < INTERRUPTED_SHARE
            interrupted = not driver.run(task, float(rng.uniform(*INTERRUPT_AFTER)) if breakable else math.inf)
            previous = task.target or previous
        return count, driver.time


def _next_task(rng: np.random.Generator, scene: Scene, pose: Pose2D, previous: str | None, interrupted: bool) -> Task:
    if interrupted and rng.random() < INTERRUPT_STOP_SHARE:
        phrases = sentences(TaskKind.STOP)
        return Task(TaskKind.STOP, phrases[int(rng.integers(len(phrases)))])
    return sample_task(rng, scene, pose, previous, MADE_UP_SHARE)


def _bag_path(out_dir: Path, seed: int, index: int) -> Path:
    return out_dir / f"seed{seed}_{index:05d}"


def _near_object(rng: np.random.Generator, scene: Scene) -> Pose2D:
    item = scene.objects[int(rng.integers(len(scene.objects)))]
    direction = rng.uniform(-math.pi, math.pi)
    distance = item.radius + ROBOT_RADIUS + rng.uniform(0.3, 0.5)
    facing = direction + math.pi + rng.uniform(-0.5, 0.5)
    return _pose(item.x + distance * math.cos(direction), item.y + distance * math.sin(direction), facing)


def _near_wall(rng: np.random.Generator, scene: Scene) -> Pose2D:
    quarter = int(rng.integers(4))
    along, across = scene.size if quarter % 2 == 0 else scene.size[::-1]
    forward = along / 2 - ROBOT_RADIUS - rng.uniform(START_CLEARANCE, 0.4)
    sideways = rng.uniform(-across / 2, across / 2)
    heading = quarter * math.pi / 2
    cosine, sine = math.cos(heading), math.sin(heading)
    return _pose(
        forward * cosine - sideways * sine,
        forward * sine + sideways * cosine,
        heading + rng.uniform(-0.6, 0.6),
    )


def _pose(x: float, y: float, yaw: float) -> Pose2D:
    return Pose2D(float(x), float(y), wrap_angle(float(yaw)))
