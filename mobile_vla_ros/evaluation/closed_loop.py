"""Success over many rooms: the policy beside its baselines, and under what it was not trained for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mobile_vla_models.evaluation.statistics import bootstrap_mean, paired_difference, wilson_interval

from ..sim.scene import Scene
from ..sim.task import Outcome, Task, TaskKind, episode_rng, sample_episode, sentences
from .baselines import shuffled_instructions
from .conditions import CONDITIONS, NOMINAL, Condition
from .episode import EpisodeResult
from .series import FORWARD, POLICY, UNTRAINED, Opening, Run, drive_all

DEFAULT_LATENCY = 0.1  # s from a frame to its plan
SHUFFLED = "shuffled instruction"


@dataclass(frozen=True)
class Rate:
    """A share of runs, with its 95 % Wilson interval."""

    count: int
    trials: int

    @property
    def share(self) -> float:
        """In [0, 1]."""
        return self.count / self.trials

    @property
    def interval(self) -> tuple[float, float]:
        """95 %, of the share."""
        return wilson_interval(self.count, self.trials)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"count": self.count, "trials": self.trials, "share": self.share, "wilson_95": list(self.interval)}


@dataclass(frozen=True)
class Score:
    """What came of a series of runs.

    Attributes:
        name: who drove, or under which condition.
        latency: s from a frame to its plan.
        results: one per episode.
    """

    name: str
    latency: float
    results: tuple[EpisodeResult, ...]

    def rate(self, outcome: Outcome, kind: str | None = None) -> Rate:
        """Runs that ended so, of one kind of task or of all."""
        runs = [result for result in self.results if kind in (None, result.kind)]
        return Rate(sum(result.outcome is outcome for result in runs), len(runs))

    @property
    def success(self) -> Rate:
        """Runs in which the task was done."""
        return self.rate(Outcome.REACHED)

    @property
    def kinds(self) -> list[str]:
        """Of task."""
        return sorted({result.kind for result in self.results})

    @property
    def mean_seconds(self) -> float | None:
        """Mean simulated time of the successful runs; None if there is none."""
        times = [result.seconds for result in self.results if result.reached]
        return float(np.mean(times)) if times else None

    @property
    def spl(self) -> tuple[float, float, float] | None:
        """Success weighted by path length, over the runs to an object, with its bootstrap interval.

        The mean of success x shortest free way / way driven (Anderson et al., 2018). None without such runs.
        """
        terms = [result.path_efficiency for result in self.results if result.path_efficiency is not None]
        if not terms:
            return None
        return (float(np.mean(terms)), *bootstrap_mean(np.array(terms)))

    @property
    def stops(self) -> Rate | None:
        """Runs to an object in which the policy itself said, within 0.6 m of it, that it is done; None without such."""
        runs = [result for result in self.results if result.target is not None]
        return Rate(sum(result.stopped_there for result in runs), len(runs)) if runs else None

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        stops = self.stops
        return {
            "name": self.name,
            "latency_s": self.latency,
            "episodes": len(self.results),
            "success": self.success.to_dict(),
            **{outcome.value: self.rate(outcome).to_dict() for outcome in Outcome if outcome is not Outcome.REACHED},
            "mean_seconds_of_successes": self.mean_seconds,
            "spl_with_95_bootstrap": self.spl,
            "stopped_within_0.6_m": None if stops is None else stops.to_dict(),
            "success_by_kind": {kind: self.rate(Outcome.REACHED, kind).to_dict() for kind in self.kinds},
            "results": [result.to_dict() for result in self.results],
        }


@dataclass(frozen=True)
class ClosedLoop:
    """What came of an evaluation; every score is over the same rooms in the same order.

    Attributes:
        policy: in the nominal condition.
        baselines: in the nominal condition: constant forward, untrained weights, shuffled instruction.
        conditions: the policy in the others.
        scenes: the rooms.
    """

    policy: Score
    baselines: tuple[Score, ...]
    conditions: tuple[Score, ...]
    scenes: tuple[Scene, ...]

    @property
    def scores(self) -> tuple[Score, ...]:
        """All of them, the policy's own first."""
        return (self.policy, *self.baselines, *self.conditions)

    @property
    def best_baseline(self) -> Score:
        """That with most successes."""
        return max(self.baselines, key=lambda score: score.success.count)

    def change(self, score: Score) -> tuple[float, float, float]:
        """Its success rate less the nominal one in the same rooms, and the 95 % interval."""
        return change(score, self.policy)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "policy": self.policy.to_dict(),
            "baselines": [score.to_dict() for score in self.baselines],
            "conditions": [
                {**score.to_dict(), "success_less_nominal_with_95_newcombe": self.change(score)}
                for score in self.conditions
            ],
        }


def change(score: Score, nominal: Score) -> tuple[float, float, float]:
    """Success rate of the first less that of the second in the same rooms, and the 95 % interval.

    Raises:
        ValueError: they are not of the same tasks.
    """
    return paired_difference(*outcome_table(score, nominal))


def outcome_table(first: Score, second: Score) -> tuple[int, int, int, int]:
    """Runs in which both, only the first, only the second, and neither succeeded.

    Raises:
        ValueError: they are not of the same tasks.
    """
    tasks = [[(result.kind, result.target) for result in score.results] for score in (first, second)]
    if tasks[0] != tasks[1]:
        raise ValueError(f"{first.name} and {second.name} were not driven over the same tasks")
    pairs = [(one.reached, other.reached) for one, other in zip(first.results, second.results, strict=True)]
    return (
        pairs.count((True, True)),
        pairs.count((True, False)),
        pairs.count((False, True)),
        pairs.count((False, False)),
    )


def evaluate(
    opening: Opening,
    episodes: int,
    seed: int,
    conditions: Sequence[str] = tuple(CONDITIONS),
    latency: float = DEFAULT_LATENCY,
    workers: int = 1,
) -> ClosedLoop:
    """Drive a policy over held-out rooms, three baselines over the same ones, then the policy under each condition.

    The rooms' random streams are shared with no recording and no view, whatever their seed.

    Args:
        opening: the policy.
        episodes: number of rooms, one task each.
        seed: of the series.
        conditions: names of CONDITIONS; the nominal one is always driven.
        latency: s from a frame to its plan, where the condition does not say another.
        workers: processes.

    Raises:
        PolicyDirectoryError: the policy cannot be loaded, or drives something else than a wheeled base.
        ValueError: fewer than 2 episodes, or an unknown condition.
    """
    series = sample_series(episodes, seed)
    own = [task.instruction for _, task in series]
    chosen = [find_condition(name) for name in conditions]
    shuffled = shuffled_instructions([task for _, task in series], np.random.default_rng(seed))

    def runs(driver: str, condition: Condition, said: list[str]) -> list[Run]:
        late = latency if condition.latency is None else condition.latency
        return [
            Run(driver, condition.name, scene, task, words, late, (seed, number))
            for number, ((scene, task), words) in enumerate(zip(series, said, strict=True))
        ]

    nominal = CONDITIONS[NOMINAL]
    groups = {
        POLICY: runs(POLICY, nominal, own),
        FORWARD: runs(FORWARD, nominal, own),
        UNTRAINED: runs(UNTRAINED, nominal, own),
        SHUFFLED: runs(POLICY, nominal, shuffled),
    }
    # What is nominal is not driven twice.
    others = [one for one in chosen if one.name != NOMINAL and one.latency != latency]
    unseen = [unseen_words(task, seed, number) for number, (_, task) in enumerate(series)]
    groups |= {one.name: runs(POLICY, one, unseen if one.unseen else own) for one in others}
    results = drive_all(opening, groups, workers)
    scores = {name: Score(name, groups[name][0].latency, tuple(done)) for name, done in results.items()}
    return ClosedLoop(
        policy=scores[POLICY],
        baselines=(scores[FORWARD], scores[UNTRAINED], scores[SHUFFLED]),
        conditions=tuple(scores[one.name] for one in others),
        scenes=tuple(scene for scene, _ in series),
    )


def sample_series(episodes: int, seed: int) -> list[tuple[Scene, Task]]:
    """The rooms and tasks of a series.

    Raises:
        ValueError: fewer than 2 episodes.
    """
    if episodes < 2:
        raise ValueError(f"{episodes} episodes: expected at least 2")
    return [sample_episode("evaluate", seed, index) for index in range(episodes)]


def find_condition(name: str) -> Condition:
    """The condition of that name.

    Raises:
        ValueError: there is none.
    """
    if name not in CONDITIONS:
        raise ValueError(f"condition {name!r} is unknown, expected one of: {', '.join(CONDITIONS)}")
    return CONDITIONS[name]


def unseen_words(task: Task, seed: int, number: int) -> str:
    """The same task in words that no recording holds."""
    phrases = sentences(TaskKind(task.kind), task.target, unseen=True)
    return phrases[int(episode_rng("unseen", seed, number).integers(len(phrases)))]
