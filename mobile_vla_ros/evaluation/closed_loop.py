"""Success over many rooms: the policy beside its baselines, run the same way on the same episodes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from mobile_vla_models import VLAPolicy

from ..control import Limits
from ..control.stepper import Policy
from ..drivable import base_limits
from ..sim.scene import Scene
from ..sim.task import Outcome, Task, sample_episode
from .baselines import ConstantForward, shuffled_instructions, untrained
from .episode import EpisodeResult, run_episode
from .statistics import wilson_interval

DEFAULT_LATENCY = 0.1  # s from a frame to its plan


@dataclass(frozen=True)
class Score:
    """What came of a series of runs.

    Attributes:
        name: who drove.
        results: one per episode.
    """

    name: str
    results: tuple[EpisodeResult, ...]

    def count(self, outcome: Outcome, kind: str | None = None) -> int:
        """Runs that ended so, of one kind of task or of all."""
        return sum(result.outcome is outcome and kind in (None, result.kind) for result in self.results)

    def trials(self, kind: str | None = None) -> int:
        """Runs of one kind of task or of all."""
        return sum(kind in (None, result.kind) for result in self.results)

    @property
    def mean_seconds(self) -> float:
        """Mean simulated time of the successful runs; NaN if there is none."""
        times = [result.seconds for result in self.results if result.outcome is Outcome.REACHED]
        return float(np.mean(times)) if times else float("nan")

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        trials = self.trials()
        low, high = wilson_interval(self.count(Outcome.REACHED), trials)
        mean = self.mean_seconds
        return {
            "name": self.name,
            "episodes": trials,
            "success": self.count(Outcome.REACHED) / trials,
            "success_95_wilson": [low, high],
            "wrong_object": self.count(Outcome.WRONG_OBJECT) / trials,
            "collision": self.count(Outcome.COLLISION) / trials,
            "time_out": self.count(Outcome.TIME_OUT) / trials,
            "mean_seconds_of_successes": None if np.isnan(mean) else mean,
            "by_kind": {
                kind: {"episodes": self.trials(kind), "success": self.count(Outcome.REACHED, kind)}
                for kind in Counter(result.kind for result in self.results)
            },
            "results": [{**asdict(result), "outcome": result.outcome.value} for result in self.results],
        }


def evaluate(
    policy_dir: Path,
    episodes: int,
    seed: int,
    latency: float = DEFAULT_LATENCY,
    baselines: bool = True,
    engine: str = "torch",
) -> list[Score]:
    """Drive a policy over held-out rooms, then three baselines over the same ones.

    The rooms' random streams are shared with no recording and no view, whatever their seed.

    Args:
        policy_dir: policy directory.
        episodes: number of rooms, one task each.
        seed: of the series.
        latency: s from a frame to its plan.
        baselines: also run constant forward, untrained weights and shuffled instructions.
        engine: that computes the policy's steps; the untrained weights run in torch.

    Returns:
        The policy's score first, then constant forward, untrained weights, shuffled instruction.

    Raises:
        PolicyDirectoryError: the policy cannot be loaded.
        ValueError: fewer than 2 episodes.
    """
    if episodes < 2:
        raise ValueError(f"{episodes} episodes: expected at least 2")
    policy = VLAPolicy.from_pretrained(policy_dir, engine=engine)
    series = [sample_episode("evaluate", seed, index) for index in range(episodes)]
    tasks = [task for _, task in series]
    own = [task.instruction for task in tasks]
    plan: list[tuple[str, Policy, list[str]]] = [("policy", policy, own)]
    if baselines:
        shuffled = shuffled_instructions(tasks, np.random.default_rng(seed))
        plan += [
            ("constant forward", ConstantForward(policy), own),
            ("untrained weights", untrained(policy, seed), own),
            ("shuffled instruction", policy, shuffled),
        ]
    limits = base_limits(policy.config)
    return [_run(name, driver, policy.config.dt, limits, series, said, latency) for name, driver, said in plan]


def _run(
    name: str,
    policy: Policy,
    dt: float,
    limits: Limits,
    series: Sequence[tuple[Scene, Task]],
    instructions: Sequence[str],
    latency: float,
) -> Score:
    results: list[EpisodeResult] = []
    columns = (
        TextColumn("{task.description:<22}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[reached]} reached"),
    )
    with Progress(*columns) as progress:
        bar = progress.add_task(name, total=len(series), reached=0)
        for (scene, task), instruction in zip(series, instructions, strict=True):
            results.append(run_episode(policy, dt, limits, scene, task, instruction, latency))
            reached = sum(result.outcome is Outcome.REACHED for result in results)
            progress.update(bar, advance=1, reached=reached)
    return Score(name, tuple(results))
