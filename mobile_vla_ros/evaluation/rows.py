"""What came of driving, as rows of text: for the terminal, the page and the model card."""

from __future__ import annotations

from collections.abc import Sequence

from mobile_vla_models.evaluation.rows import NONE, Rows, within

from ..sim.task import Outcome
from .closed_loop import ClosedLoop, Rate, Score
from .compare import PairedOutcomes
from .swap import SwapPair

SCORES = (
    "",
    "success (95 % interval)",
    "less nominal (95 % interval)",
    "wrong object",
    "collision",
    "time-out",
    "SPL (95 % interval)",
    "stop within 0.6 m (95 % interval)",
    "mean time",
)
KINDS = ("task", "policy", "constant forward", "untrained weights", "shuffled instruction")
SWAPS = ("same start, the other visible object named", "pairs")
PAIRED = (
    "",
    "both reach",
    "only first",
    "only second",
    "neither",
    "first less second (95 % interval)",
    "McNemar p",
    "best baseline",
)
FAILURES = ("condition", "room", "sentence", "outcome", "ran into", "time")


def score_rows(loop: ClosedLoop) -> Rows:
    """One row a score, for the headings SCORES: the policy, its baselines, the conditions."""
    return [score_row(score, loop.change(score) if score in loop.conditions else None) for score in loop.scores]


def score_row(score: Score, less_nominal: tuple[float, float, float] | None) -> tuple[str, ...]:
    """For the headings SCORES.

    Args:
        score: of the row.
        less_nominal: its success rate less the nominal one, and the interval; None: there is nothing to compare.
    """
    stops, spl, mean = score.stops, score.spl, score.mean_seconds
    others = (outcome for outcome in Outcome if outcome is not Outcome.REACHED)
    return (
        score.name,
        rate_text(score.success),
        NONE if less_nominal is None else _difference(less_nominal),
        *(_percent(score.rate(outcome).share) for outcome in others),
        NONE if spl is None else f"{spl[0]:.2f}" + within(spl[1:], "{:.2f}".format),
        NONE if stops is None else rate_text(stops),
        NONE if mean is None else f"{mean:.1f} s",
    )


def kind_rows(loop: ClosedLoop) -> Rows:
    """Successes by kind of task, for the headings KINDS."""
    scores = (loop.policy, *loop.baselines)
    rates = {kind: [score.rate(Outcome.REACHED, kind) for score in scores] for kind in loop.policy.kinds}
    return [(kind, *(f"{rate.count} of {rate.trials}" for rate in found)) for kind, found in rates.items()]


def swap_rows(pairs: Sequence[SwapPair]) -> Rows:
    """For the headings SWAPS."""
    counts = (
        ("the object reached changes with the words", sum(pair.changed for pair in pairs)),
        ("both runs end at the named object", sum(pair.both_right for pair in pairs)),
        ("both runs end at the same object, as of a policy that does not hear", sum(pair.deaf for pair in pairs)),
    )
    return [(text, rate_text(Rate(count, len(pairs)))) for text, count in counts]


def paired_rows(paired: Sequence[PairedOutcomes]) -> Rows:
    """For the headings PAIRED."""
    return [
        (
            one.name,
            *(str(count) for count in one.table),
            _difference(one.difference),
            f"{one.p_value:.3g}",
            one.best_baseline,
        )
        for one in paired
    ]


def failure_rows(loop: ClosedLoop) -> Rows:
    """Every failed run of the policy, for the headings FAILURES."""
    return [
        (
            score.name,
            str(room),
            result.instruction,
            result.outcome.value.replace("_", " "),
            result.touched or NONE,
            f"{result.seconds:.1f} s",
        )
        for score in (loop.policy, *loop.conditions)
        for room, result in enumerate(score.results)
        if not result.reached
    ]


def rate_text(rate: Rate) -> str:
    """A share with its interval."""
    return _percent(rate.share) + within(rate.interval, lambda end: f"{100 * end:.0f}")


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _difference(values: tuple[float, float, float]) -> str:
    return f"{100 * values[0]:+.0f} %" + within(values[1:], lambda end: f"{100 * end:+.0f}")
