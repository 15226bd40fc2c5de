"""Two policies, or one in process and through the node, in the same rooms: pairs, so that difficulty drops out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mobile_vla_models.evaluation.statistics import mcnemar_exact, paired_difference

from .closed_loop import ClosedLoop, Score, outcome_table


@dataclass(frozen=True)
class PairedOutcomes:
    """What two policies did over the same rooms.

    Attributes:
        name: of the condition.
        table: rooms in which both, only the first, only the second, and neither succeeded.
        best_baseline: success of the better policy's best baseline, and its name.
    """

    name: str
    table: tuple[int, int, int, int]
    best_baseline: str

    @property
    def difference(self) -> tuple[float, float, float]:
        """First success rate less second, and its 95 % interval (Newcombe)."""
        return paired_difference(*self.table)

    @property
    def p_value(self) -> float:
        """Of McNemar's exact test."""
        return mcnemar_exact(self.table[1], self.table[2])

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        both, first, second, neither = self.table
        difference, low, high = self.difference
        return {
            "name": self.name,
            "both": both,
            "only_first": first,
            "only_second": second,
            "neither": neither,
            "first_less_second": difference,
            "newcombe_95": [low, high],
            "mcnemar_p": self.p_value,
            "best_baseline": self.best_baseline,
        }


def compare_loops(first: ClosedLoop, second: ClosedLoop) -> list[PairedOutcomes]:
    """The nominal condition, then every other that both met.

    Raises:
        ValueError: they did not drive the same tasks.
    """
    beside = _best((first.best_baseline, second.best_baseline))
    met: dict[str, Score] = {score.name: score for score in second.conditions}
    pairs = [("nominal", first.policy, second.policy)]
    pairs += [(score.name, score, met[score.name]) for score in first.conditions if score.name in met]
    return [PairedOutcomes(name, outcome_table(one, other), beside) for name, one, other in pairs]


def compare_with_node(loop: ClosedLoop, score: Score) -> PairedOutcomes:
    """The policy in process, and through the node.

    Raises:
        ValueError: they did not drive the same tasks.
    """
    name = "in process (first), through the node (second)"
    return PairedOutcomes(name, outcome_table(loop.policy, score), _best((loop.best_baseline,)))


def is_within(score: Score, loop: ClosedLoop) -> bool:
    """Its success rate lies in the 95 % interval of the policy's in process."""
    low, high = loop.policy.success.interval
    return low <= score.success.share <= high


def _best(baselines: Sequence[Score]) -> str:
    best = max(baselines, key=lambda score: score.success.count)
    return f"{100 * best.success.share:.0f} % ({best.name})"
