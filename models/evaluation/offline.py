"""A policy over held-out episodes, frame by frame, against what was commanded; baselines beside every figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from ..data.episode import Episode
from ..data.windows import gate
from ..errors import DataError
from ..golden import Stepper
from .counted import CONSTANTS, POLICY, Counted, Horizon, StopDelays
from .figures import COPY_LAST, Figure
from .measure import STOP_THRESHOLD, Answers, measure
from .reference import Reference, look_up
from .replay import Frames, Replay, read_frames, refusal, replay
from .sensitivity import Change, Sensitivity, measure_change, summarize
from .statistics import bootstrap_counts
from .wording import paraphrased, shuffled, swapped

SWAPPED, SHUFFLED, EMPTY, PARAPHRASED = "another task's", "shuffled words", "empty", "paraphrased"
NEXT_TO_EMPTY = "."
POINTS = 4000  # of the scatter plot


@dataclass(frozen=True)
class Offline:
    """What came of it.

    Attributes:
        sources: of the episodes, in order.
        frames: that were answered.
        actions: unit of each continuous action by its name.
        dt: s between rows of a chunk.
        figures: each with its baselines.
        horizon: by action, mean absolute errors by row of the chunk.
        stop: frames by [done, said to be], (2, 2), of the policy and copy-last; None if the policy does not say.
        delays: of the same.
        sensitivity: by kind of other words; None where there were none.
        empty: what became of the empty sentence.
        scatter: by action, float32 (n, 2): recorded and commanded, first rows.
        seed: of other words and intervals.
    """

    sources: tuple[str, ...]
    frames: int
    actions: dict[str, str]
    dt: float
    figures: tuple[Figure, ...]
    horizon: dict[str, Horizon]
    stop: dict[str, NDArray[np.float64]] | None
    delays: dict[str, StopDelays] | None
    sensitivity: dict[str, Sensitivity | None]
    empty: str
    scatter: dict[str, NDArray[np.float32]]
    seed: int

    @property
    def chunk(self) -> int:
        """Rows of a chunk."""
        return len(next(iter(self.horizon.values()))[POLICY])

    @property
    def counts(self) -> NDArray[np.float64]:
        """The resamples of episodes that all intervals are of."""
        return bootstrap_counts(len(self.sources), self.seed)


def evaluate_episodes(policy: Stepper, episodes: Sequence[Episode], seed: int = 0) -> Offline:
    """Replay a policy over episodes, under their own words and under others.

    The constant that it is held against is fitted to these very episodes, as no policy is: their mean or their median
    command, whichever does better by the figure. Copy-last says all through the chunk what was commanded one step
    before the frame.

    Args:
        policy: its history is reset.
        episodes: that it was not trained on.
        seed: of other words, and of the intervals.

    Raises:
        DataError: no episode, no frame with a command after it, or a camera, state or action of the policy that was
            not recorded.
    """
    config = policy.config
    units = {action.name: action.unit for action in config.action.continuous}
    names = list(units)
    references = [_reference(policy, episode) for episode in episodes]
    if not any(reference.known[:, 0].any() for reference in references):
        raise DataError(f"no frame with a command after it in {len(episodes)} episodes")
    constants = _constants(references)
    counted = Counted(list(units.items()))
    other_words = _OtherWords([episode.instruction for episode in episodes], seed)
    changes: dict[str, list[Change | None]] = {kind: [] for kind in (SWAPPED, SHUFFLED, EMPTY, PARAPHRASED)}
    pairs: list[NDArray[np.float32]] = []
    frames_answered = 0
    for number, episode in enumerate(track(episodes, description="held-out episodes")):
        reference, frames = references[number], read_frames(episode, config)
        own = replay(policy, frames, episode.instruction)
        answers = {POLICY: _answers(own), **_baselines(reference, constants, own)}
        counted.add({name: measure(one, reference, frames.stamps, names, config.dt) for name, one in answers.items()})
        for kind, found in changes.items():
            words = other_words.instead(kind, number, policy, frames)
            rng = np.random.default_rng((seed, number))
            found.append(
                None
                if words is None
                else measure_change(
                    own, replay(policy, frames, words), reference, names, (episode.instruction, words), rng
                )
            )
        known = reference.known[:, 0]
        pairs.append(np.stack([reference.continuous[known, 0], own.continuous[known, 0]], axis=1))
        frames_answered += len(frames.stamps)
    shown = np.random.default_rng(seed).permutation(np.concatenate(pairs))[:POINTS]
    says_done = own.stop is not None
    return Offline(
        sources=tuple(episode.source for episode in episodes),
        frames=frames_answered,
        actions=units,
        dt=config.dt,
        figures=tuple(counted.figures()),
        horizon=counted.horizons(),
        stop={name: counted.stops(name) for name in (POLICY, COPY_LAST)} if says_done else None,
        delays={name: counted.delays(name) for name in (POLICY, COPY_LAST)} if says_done else None,
        sensitivity={kind: summarize(found, names) for kind, found in changes.items()},
        empty=other_words.empty,
        scatter={name: shown[:, :, row] for row, name in enumerate(names)},
        seed=seed,
    )


class _OtherWords:
    """What is said in place of each episode's sentence."""

    def __init__(self, own: Sequence[str], seed: int) -> None:
        self._own = own
        self._seed = seed
        self._swapped = swapped(own, np.random.default_rng(seed))
        self._silence: str | None = None
        self.empty = ""

    def instead(self, kind: str, number: int, policy: Stepper, frames: Frames) -> str | None:
        """Other words of this kind; None where there are none, or none that the policy would hear."""
        rng = np.random.default_rng((self._seed, number))
        words: str | None
        if kind == SWAPPED:
            words = self._swapped[number]
        elif kind == SHUFFLED:
            words = shuffled(self._own[number], rng)
        elif kind == PARAPHRASED:
            words = paraphrased(self._own[number], rng)
        else:
            words = self._nearest_to_empty(policy, frames)
        return None if words is None or refusal(policy, frames, words) is not None else words

    def _nearest_to_empty(self, policy: Stepper, frames: Frames) -> str:
        if self._silence is None:
            reason = refusal(policy, frames, "")
            self._silence = "" if reason is None else NEXT_TO_EMPTY
            self.empty = (
                "the empty sentence is heard"
                if reason is None
                else f"the empty sentence is refused ({reason}); {NEXT_TO_EMPTY!r} stands for it"
            )
        return self._silence


def _reference(policy: Stepper, episode: Episode) -> Reference:
    camera = policy.config.cameras[0]
    if camera not in episode.cameras:
        raise DataError(f"{episode.source}: no camera {camera} among {', '.join(episode.cameras)}")
    stamps = episode.cameras[camera].stamps
    return look_up(episode, stamps[gate(stamps, policy.config.dt)], policy.config)


def _constants(references: Sequence[Reference]) -> dict[str, NDArray[np.float32]]:
    """Mean and median command, (k,), over all that is known."""
    commands = np.concatenate([reference.continuous[reference.known] for reference in references])
    mean, median = CONSTANTS
    return {mean: commands.mean(axis=0), median: np.median(commands, axis=0).astype(np.float32)}


def _answers(replayed: Replay) -> Answers:
    done = None if replayed.stop is None else replayed.stop[:, 0] >= STOP_THRESHOLD
    return Answers(replayed.continuous, done)


def _baselines(reference: Reference, constants: dict[str, NDArray[np.float32]], own: Replay) -> dict[str, Answers]:
    """A constant always says that the task is done: it misses no stop. Copy-last does if it stood the step before."""
    shape = reference.continuous.shape
    says_done = own.stop is not None
    always = np.ones(shape[0], dtype=np.bool_) if says_done else None
    stood = (reference.last == 0.0).all(axis=1)
    # Nothing was commanded yet: to stand there is no sign of being done.
    stood &= np.logical_or.accumulate((reference.last != 0.0).any(axis=1))
    answers = {
        name: Answers(np.broadcast_to(value, shape).astype(np.float32), always) for name, value in constants.items()
    }
    last = np.broadcast_to(reference.last[:, None], shape).astype(np.float32)
    return {**answers, COPY_LAST: Answers(last, stood if says_done else None)}
