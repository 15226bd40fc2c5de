"""An evaluation in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mobile_vla_models.evaluation import rows as offline_rows
from mobile_vla_models.evaluation.compare import DIFFERENCES, Difference, difference_rows

from . import node_rows, rows
from .compare import PairedOutcomes
from .evaluation import Evaluation


def print_evaluation(evaluation: Evaluation, console: Console) -> None:
    """Every table of one policy."""
    console.print(f"policy {evaluation.opening.directory}", markup=False)
    if evaluation.loop is not None:
        title = f"closed loop over {len(evaluation.loop.policy.results)} held-out rooms"
        console.print(_table(title, rows.SCORES, rows.score_rows(evaluation.loop)))
        console.print(_table("success by kind of task", rows.KINDS, rows.kind_rows(evaluation.loop)))
    if evaluation.node:
        _print_node(evaluation, console)
    if evaluation.pairs:
        console.print(_table(f"{len(evaluation.pairs)} pairs", rows.SWAPS, rows.swap_rows(evaluation.pairs)))
    offline = evaluation.offline
    if offline is not None:
        title = f"{len(offline.sources)} held-out episodes, {offline.frames} frames"
        console.print(_table(title, offline_rows.FIGURES, offline_rows.figure_rows(offline)))
        delays = offline_rows.delay_rows(offline)
        if delays:
            console.print(_table("stop", offline_rows.DELAYS, delays))
        other = offline_rows.sensitivity_rows(offline)
        console.print(_table("the same frames under other words", offline_rows.WORDS, other))
        console.print(offline.empty, markup=False)


def print_comparison(paired: Sequence[PairedOutcomes], differences: Sequence[Difference], console: Console) -> None:
    """What differs between two policies."""
    if paired:
        console.print(_table("driving, room by room", rows.PAIRED, rows.paired_rows(paired)))
    if differences:
        console.print(_table("held-out episodes", DIFFERENCES, difference_rows(list(differences))))


def _print_node(evaluation: Evaluation, console: Console) -> None:
    node, loop, paired = evaluation.node, evaluation.loop, evaluation.paired_with_node
    title = f"through policy_node, {len(node[0].runs)} held-out rooms"
    console.print(_table(title, rows.SCORES, node_rows.node_score_rows(node, loop)))
    if paired is not None:
        console.print(_table("room by room", rows.PAIRED, rows.paired_rows([paired])))
    console.print(_table("steps of its commands", node_rows.STEPS, node_rows.step_rows(node)))
    console.print(node_rows.STEPS_SAY, markup=False, style="dim")
    console.print(_table("real time", node_rows.MACHINE, node_rows.machine_rows(node)))
    for sentence in node_rows.findings(node, loop):
        console.print(sentence, markup=False)


def _table(title: str, headings: Sequence[str], lines: Sequence[Sequence[str]]) -> Table:
    table = Table(title=title)
    for column, heading in enumerate(headings):
        table.add_column(heading, justify="right" if column else "left", overflow="fold")
    for line in lines:
        table.add_row(*map(escape, line))
    return table
