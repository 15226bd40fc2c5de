"""Many runs, in one process or several; what comes of them does not depend on how many."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from mobile_vla_models import VLAPolicy
from mobile_vla_models.evaluation.threads import one_thread

from ..control.stepper import Policy
from ..drivable import base_limits, load_for_base
from ..sim.scene import Scene
from ..sim.task import Task, episode_rng
from .baselines import ConstantForward, untrained
from .conditions import CONDITIONS
from .episode import EpisodeResult, as_seen, run_episode

POLICY, FORWARD, UNTRAINED = "policy", "constant forward", "untrained weights"


@dataclass(frozen=True)
class Opening:
    """How each process opens the policy.

    Attributes:
        directory: of the policy.
        engine: that computes its steps; the untrained weights run in torch.
        device: torch device.
        seed: of the untrained weights.
    """

    directory: Path
    engine: str = "torch"
    device: str = "cpu"
    seed: int = 0

    def load(self) -> VLAPolicy:
        """The policy, whatever it drives.

        Raises:
            PolicyDirectoryError: it cannot be loaded.
        """
        return VLAPolicy.from_pretrained(self.directory, device=self.device, engine=self.engine)

    def load_for_base(self) -> VLAPolicy:
        """The policy, which must be one for a wheeled base.

        Raises:
            PolicyDirectoryError: it cannot be loaded, or drives something else.
        """
        return load_for_base(self.directory, self.engine, self.device)


@dataclass(frozen=True)
class Run:
    """One run to drive.

    Attributes:
        driver: POLICY, FORWARD or UNTRAINED.
        condition: name of one of CONDITIONS.
        scene: the room; the condition lights it.
        task: by which the run is judged.
        instruction: what the driver is told.
        latency: s from a frame to its plan.
        seed: number of the series and of the episode in it, of the camera's noise.
    """

    driver: str
    condition: str
    scene: Scene
    task: Task
    instruction: str
    latency: float
    seed: tuple[int, int]


class Drivers:
    """The drivers of one process; each is made when it is first needed."""

    def __init__(self, opening: Opening) -> None:
        self._opening = opening
        self._policy = opening.load_for_base()
        self._made: dict[str, Policy] = {}

    def drive(self, run: Run) -> EpisodeResult:
        """Drive one run with a driver that remembers no other."""
        condition = CONDITIONS[run.condition]
        scene = run.scene if condition.light is None else condition.light(run.scene)
        camera = as_seen if condition.camera is None else partial(condition.camera, episode_rng("camera", *run.seed))
        config = self._policy.config
        driver, limits = self._driver(run.driver), base_limits(config)
        return run_episode(driver, config.dt, limits, scene, run.task, run.instruction, run.latency, camera)

    def _driver(self, name: str) -> Policy:
        if name not in self._made:
            makers: dict[str, Callable[[], Policy]] = {
                POLICY: lambda: self._policy,
                FORWARD: lambda: ConstantForward(self._policy),
                UNTRAINED: lambda: untrained(self._policy, self._opening.seed),
            }
            self._made[name] = makers[name]()
        return self._made[name]


def drive_all(opening: Opening, groups: Mapping[str, Sequence[Run]], workers: int) -> dict[str, list[EpisodeResult]]:
    """Drive every run; results in the order of the runs, by group.

    Every process computes with one thread, so that the same runs give the same results whatever their number.

    Raises:
        PolicyDirectoryError: the policy cannot be loaded, or drives something else than a wheeled base.
    """
    results: dict[str, dict[int, EpisodeResult]] = {name: {} for name in groups}
    jobs = [(name, number, run) for name, runs in groups.items() for number, run in enumerate(runs)]
    columns = (
        TextColumn("{task.description:<24}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[reached]} reached"),
    )
    with Progress(*columns) as progress:
        bars = {name: progress.add_task(name, total=len(runs), reached=0) for name, runs in groups.items()}
        for name, number, result in _driven(opening, jobs, workers):
            results[name][number] = result
            reached = sum(one.reached for one in results[name].values())
            progress.update(bars[name], advance=1, reached=reached)
    return {name: [done[number] for number in sorted(done)] for name, done in results.items()}


Job = tuple[str, int, Run]


def _driven(opening: Opening, jobs: Sequence[Job], workers: int) -> Iterator[tuple[str, int, EpisodeResult]]:
    if workers == 1:
        drivers = Drivers(opening)
        with one_thread():
            for name, number, run in jobs:
                yield name, number, drivers.drive(run)
        return
    # What a user can mend is found here, and not in a process whose failure would be that of the pool.
    opening.load_for_base()
    # spawn: a renderer's context does not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(opening,)) as pool:
        pending = {pool.submit(_drive, run): (name, number) for name, number, run in jobs}
        try:
            for job in as_completed(pending):
                yield *pending[job], job.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


_drivers: list[Drivers] = []  # of a worker process


def _begin(opening: Opening) -> None:
    _drivers.append(Drivers(opening))


def _drive(run: Run) -> EpisodeResult:
    with one_thread():
        return _drivers[0].drive(run)
