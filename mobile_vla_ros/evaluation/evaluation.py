"""All that is measured of one policy, as a plan says: over held-out episodes, and driving."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mobile_vla_models.evaluation.document import offline_document
from mobile_vla_models.evaluation.held_out import HeldOut
from mobile_vla_models.evaluation.offline import Offline, evaluate_episodes
from mobile_vla_models.evaluation.threads import one_thread
from mobile_vla_models.hashing import sha256_of
from mobile_vla_models.policy_entries import WEIGHTS

from .closed_loop import ClosedLoop, evaluate
from .compare import PairedOutcomes, compare_with_node, is_within
from .node_series import NodeSeries
from .series import Opening
from .swap import SwapPair, swap_test
from .through_node import NodeDriving, evaluate_through_node


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

    episodes: int
    swap_pairs: int
    conditions: tuple[str, ...]
    latency: float
    workers: int


@dataclass(frozen=True)
class Evaluation:
    """What was measured of one policy.

    Attributes:
        opening: the policy, and how it was opened.
        sha256: of its weights.
        seed: of rooms, other words and intervals.
        held_out: the episodes that it answered; None if there were none.
        offline: of them.
        loop: of driving; None if it did not drive.
        pairs: of the swapped words.
        node: of driving through policy_node, the nominal series first; empty: it did not.
    """

    opening: Opening
    sha256: str
    seed: int
    held_out: HeldOut | None
    offline: Offline | None
    loop: ClosedLoop | None
    pairs: tuple[SwapPair, ...]
    node: tuple[NodeSeries, ...] = ()

    @property
    def paired_with_node(self) -> PairedOutcomes | None:
        """In process and through the node; None unless it drove both ways."""
        return compare_with_node(self.loop, self.node[0].score) if self.loop is not None and self.node else None

    @property
    def setting(self) -> dict[str, str | int | None]:
        """What was evaluated, and how it was run."""
        return {
            "policy": str(self.opening.directory),
            "sha256 of the weights": self.sha256,
            "engine": self.opening.engine,
            "device": self.opening.device,
            "seed": self.seed,
            "data": None if self.held_out is None else self.held_out.text,
        }

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "setting": self.setting,
            "held_out_episodes": None if self.offline is None else offline_document(self.offline),
            "closed_loop": None if self.loop is None else self.loop.to_dict(),
            "swapped_words": [pair.to_dict() for pair in self.pairs],
            "through_node": [series.to_dict() for series in self.node],
            "in_process_and_through_node": self._agreement(),
        }

    def _agreement(self) -> dict[str, Any] | None:
        paired = self.paired_with_node
        if paired is None or self.loop is None:
            return None
        return {**paired.to_dict(), "within_wilson_95_in_process": is_within(self.node[0].score, self.loop)}


def evaluate_policy(
    opening: Opening,
    seed: int,
    held_out: HeldOut | None,
    driving: Driving | None,
    through_node: NodeDriving | None = None,
) -> Evaluation:
    """Measure one policy.

    Args:
        opening: the policy.
        seed: of rooms, other words and intervals.
        held_out: episodes for it to answer; None: none.
        driving: what to drive in process; None: nothing.
        through_node: what to drive through policy_node; None: nothing.

    Raises:
        PolicyDirectoryError: the policy cannot be loaded, or is to drive and drives no wheeled base.
        DataError: an episode cannot be read, or does not fit the policy.
        ValueError: an unknown condition.
        NodeLinkError: policy_node does not come up, refuses, or falls silent.
        BringUpError: policy_node has ended.
    """
    offline: Offline | None = None
    loop: ClosedLoop | None = None
    pairs: list[SwapPair] = []
    # What may fail for what lies outside of this process comes first.
    node = () if through_node is None else evaluate_through_node(opening, through_node, seed)
    if held_out is not None:
        with one_thread():
            offline = evaluate_episodes(opening.load(), held_out.episodes, seed)
    if driving is not None:
        loop = evaluate(opening, driving.episodes, seed, driving.conditions, driving.latency, driving.workers)
        pairs = swap_test(opening, driving.swap_pairs, seed, driving.latency, driving.workers)
    weights = sha256_of(opening.directory / WEIGHTS)
    return Evaluation(opening, weights, seed, held_out, offline, loop, tuple(pairs), node)
