"""Tables for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from ..sim.task import Outcome
from .closed_loop import Score
from .statistics import wilson_interval
from .swap import SwapPair


def score_table(scores: Sequence[Score]) -> Table:
    """One row per driver."""
    table = Table(title=f"closed loop over {scores[0].trials()} held-out rooms")
    for heading in (
        "",
        "success",
        "95 % interval",
        "wrong object",
        "collision",
        "time-out",
        "mean time of successes",
    ):
        table.add_column(heading, justify="left" if not heading else "right")
    for score in scores:
        trials = score.trials()
        low, high = wilson_interval(score.count(Outcome.REACHED), trials)
        shares = [f"{100 * score.count(outcome) / trials:.0f} %" for outcome in Outcome]
        seconds = score.mean_seconds
        table.add_row(
            score.name,
            shares[0],
            f"{100 * low:.0f} to {100 * high:.0f} %",
            *shares[1:],
            f"{seconds:.1f} s" if seconds == seconds else "-",
        )
    return table


def kind_table(score: Score) -> Table:
    """Successes of one driver by kind of task."""
    table = Table(title=f"{score.name}, by kind of task")
    for heading in ("task", "reached", "of"):
        table.add_column(heading, justify="left" if heading == "task" else "right")
    for kind in sorted({result.kind for result in score.results}):
        table.add_row(kind, str(score.count(Outcome.REACHED, kind)), str(score.trials(kind)))
    return table


def swap_table(pairs: Sequence[SwapPair]) -> Table:
    """What swapping the object's name did."""
    table = Table(title=f"{len(pairs)} pairs: same start, the other visible object named")
    table.add_column("")
    table.add_column("pairs", justify="right")
    table.add_column("share", justify="right")
    rows = (
        ("the object reached changes with the words", sum(pair.changed for pair in pairs)),
        ("both runs end at the named object", sum(pair.both_right for pair in pairs)),
    )
    for text, count in rows:
        table.add_row(text, str(count), f"{100 * count / len(pairs):.0f} %")
    return table


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Write under a temporary name, then rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    temporary.replace(path)
