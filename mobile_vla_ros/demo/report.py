"""The table that says what happened."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from ..sim.task import Outcome
from .recording import TaskRun

WORDS = {
    Outcome.REACHED: "[green]did as told[/green]",
    Outcome.WRONG_OBJECT: "[red]went to another object[/red]",
    Outcome.COLLISION: "[red]ran into something[/red]",
    Outcome.TIME_OUT: "[red]not done in time[/red]",
}


def run_table(runs: Sequence[TaskRun]) -> Table:
    """One row per instruction, in order."""
    table = Table(title="what the robot did")
    table.add_column("instruction")
    table.add_column("outcome")
    for heading in ("seconds", "distance", "turned"):
        table.add_column(heading, justify="right")
    for run in runs:
        table.add_row(
            escape(run.task.instruction),
            WORDS[run.outcome],
            f"{run.end - run.start:.1f} s",
            f"{run.distance:.2f} m",
            f"{math.degrees(run.turned):+.0f}°",
        )
    return table
