"""All that is measured of one policy, as a plan says: over held-out episodes, and driving."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobile_vla_models.data.configuration import SourceConfig
from mobile_vla_models.data.sources import open_source
from mobile_vla_models.evaluation.document import offline_document
from mobile_vla_models.evaluation.offline import Offline, evaluate_episodes
from mobile_vla_models.evaluation.threads import one_thread
from mobile_vla_models.hashing import sha256_of
from mobile_vla_models.policy_directory import WEIGHTS

from .closed_loop import DEFAULT_LATENCY, ClosedLoop, evaluate
from .conditions import CONDITIONS
from .series import Opening
from .swap import SwapPair, swap_test


@dataclass(frozen=True)
class Driving:
    """What to drive.

    Attributes:
        episodes: rooms, one task each.
        swap_pairs: starts that are driven twice, with the words swapped.
        conditions: names of CONDITIONS; the nominal one is always driven.
        latency: s from a frame to its plan, nominally.
        workers: processes.
    """

    episodes: int = 100
    swap_pairs: int = 30
    conditions: tuple[str, ...] = tuple(CONDITIONS)
    latency: float = DEFAULT_LATENCY
    workers: int = 1


@dataclass(frozen=True)
class Evaluation:
    """What was measured of one policy.

    Attributes:
        opening: the policy, and how it was opened.
        sha256: of its weights.
        seed: of rooms, other words and intervals.
        data: where the held-out episodes are; None if none were evaluated.
        offline: of them.
        loop: of driving; None if it did not drive.
        pairs: of the swapped words.
    """

    opening: Opening
    sha256: str
    seed: int
    data: Path | None
    offline: Offline | None
    loop: ClosedLoop | None
    pairs: tuple[SwapPair, ...]

    @property
    def setting(self) -> dict[str, str | int | None]:
        """What was evaluated, and how it was run."""
        return {
            "policy": str(self.opening.directory),
            "sha256 of the weights": self.sha256,
            "engine": self.opening.engine,
            "device": self.opening.device,
            "seed": self.seed,
            "data": None if self.data is None else str(self.data),
        }

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "setting": self.setting,
            "held_out_episodes": None if self.offline is None else offline_document(self.offline),
            "closed_loop": None if self.loop is None else self.loop.to_dict(),
            "swapped_words": [pair.to_dict() for pair in self.pairs],
        }


def evaluate_policy(opening: Opening, seed: int, held_out: SourceConfig | None, driving: Driving | None) -> Evaluation:
    """Measure one policy.

    Args:
        opening: the policy.
        seed: of rooms, other words and intervals.
        held_out: episodes that it was not trained on; None: it answers none.
        driving: what to drive; None: nothing.

    Raises:
        PolicyDirectoryError: the policy cannot be loaded, or is to drive and drives no wheeled base.
        DataError: the episodes cannot be read, or do not fit the policy.
        ValueError: an unknown condition.
    """
    offline: Offline | None = None
    loop: ClosedLoop | None = None
    pairs: list[SwapPair] = []
    if held_out is not None:
        with one_thread():
            offline = evaluate_episodes(opening.load(), open_source(held_out), seed)
    if driving is not None:
        loop = evaluate(opening, driving.episodes, seed, driving.conditions, driving.latency, driving.workers)
        pairs = swap_test(opening, driving.swap_pairs, seed, driving.latency, driving.workers)
    weights = sha256_of(opening.directory / WEIGHTS)
    data = None if held_out is None else held_out.path
    return Evaluation(opening, weights, seed, data, offline, loop, tuple(pairs))
