"""What came of driving through policy_node, as rows and sentences: for the terminal, the page and the model card."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from mobile_vla_models.evaluation.rows import NONE, Rows

from .closed_loop import ClosedLoop, change
from .compare import is_within
from .node_series import NodeSeries
from .rows import score_row
from .steps import Step, Steps

STEPS = (
    "",
    "commands",
    "plans joined",
    "largest step of v (allowed for its time)",
    "largest step of w (allowed for its time)",
    "time short by",
    "beyond the limits",
    "stopped at once by a fault",
)
RUNS = ("condition", "room", "outcome", "real-time factor", *STEPS[1:])
MACHINE = (
    "",
    "real-time factor",
    "frames late",
    "frames sent",
    "received",
    "refused",
    "replaced by newer ones",
    "frame to command, median",
    "p95",
)
STEPS_SAY = (
    "Steps are those between successive commands; allowed is the limit of acceleration times the time between their "
    "stamps. A command is stamped a little later than it was decided: time short by is the most that steps lack; "
    "beyond is what no such delay explains. Faults stop the robot at once, without a ramp: those are counted apart."
)


def node_score_rows(node: Sequence[NodeSeries], loop: ClosedLoop | None) -> Rows:
    """For the headings SCORES: in process, if that was driven, then each series; the first is the nominal one."""
    scores = [series.score for series in node]
    if loop is not None:
        scores.insert(0, replace(loop.policy, name="in process"))
    return [score_row(score, None if score is scores[0] else change(score, scores[0])) for score in scores]


def step_rows(node: Sequence[NodeSeries]) -> Rows:
    """Totals, for the headings STEPS."""
    return [(series.condition, *_step_cells(series.steps)) for series in node]


def run_rows(node: Sequence[NodeSeries]) -> Rows:
    """Every run, for the headings RUNS."""
    return [
        (
            series.condition,
            str(room),
            run.result.outcome.value.replace("_", " "),
            f"{run.pace.factor:.2f}",
            *_step_cells(run.steps),
        )
        for series in node
        for room, run in enumerate(series.runs)
    ]


def machine_rows(node: Sequence[NodeSeries]) -> Rows:
    """Whether the machine kept up, for the headings MACHINE."""
    return [
        (
            series.condition,
            f"{series.pace.factor:.3f}",
            f"{series.pace.late} of {series.pace.frames}",
            *(
                str(count)
                for count in (
                    series.transport.sent,
                    series.transport.received,
                    series.transport.refused,
                    series.transport.replaced,
                )
            ),
            *(_milliseconds(series.latency(percentile)) for percentile in (50.0, 95.0)),
        )
        for series in node
    ]


def findings(node: Sequence[NodeSeries], loop: ClosedLoop | None) -> list[str]:
    """What to know of the figures, in sentences."""
    said = []
    for series in node:
        if series.too_slow:
            said.append(
                f"{series.condition}: this machine was too slow ({series.too_slow}); these figures say nothing of "
                "the policy or the node."
            )
        said += [f"{series.condition}: beyond the limits: {text}" for text in series.steps.beyond]
    if loop is not None:
        score, (low, high) = node[0].score, loop.policy.success.interval
        within = "within" if is_within(score, loop) else "outside"
        said.append(
            f"Success through the node, {100 * score.success.share:.0f} %, is {within} the 95 % interval of the runs "
            f"in process, {100 * low:.0f} to {100 * high:.0f} %."
        )
    return said


def _step_cells(steps: Steps) -> tuple[str, ...]:
    return (
        str(steps.commands),
        str(steps.joins),
        _step(steps.linear_x, "m/s"),
        _step(steps.angular_z, "rad/s"),
        f"{1000 * steps.short:.1f} ms",
        str(len(steps.beyond)),
        str(len(steps.stops)),
    )


def _step(step: Step, unit: str) -> str:
    return f"{step.change:.3f} ({step.allowed:.3f}) {unit}"


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms" if math.isfinite(seconds) else NONE
