"""An evaluation, or a comparison of two, as one HTML file that needs nothing beside it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from mobile_vla_models.documents import write_text
from mobile_vla_models.evaluation.compare import DIFFERENCES, Difference, difference_rows
from mobile_vla_models.evaluation.page import images, offline_section, page, table

from . import node_rows, plots, rows
from .closed_loop import ClosedLoop
from .compare import PairedOutcomes
from .evaluation import Evaluation
from .swap import SwapPair

LISTED = 60  # failures; the JSON file has all


def write_page(evaluation: Evaluation, path: Path) -> None:
    """Write the page of one policy beside its name, then rename.

    Raises:
        OSError: not writable.
    """
    write_text(path, page(f"Evaluation of {evaluation.opening.directory}", _sections(evaluation)))


def write_comparison(
    first: Evaluation,
    second: Evaluation,
    paired: Sequence[PairedOutcomes],
    differences: Sequence[Difference],
    path: Path,
) -> None:
    """Write the page of two policies: what differs, then each.

    Raises:
        OSError: not writable.
    """
    parts = []
    if paired:
        parts.append(f"<h2>Driving, room by room</h2>{table(rows.PAIRED, rows.paired_rows(paired))}")
    if differences:
        parts.append(f"<h2>Held-out episodes</h2>{table(DIFFERENCES, difference_rows(list(differences)))}")
    for name, evaluation in (("First", first), ("Second", second)):
        parts.append(f"<h1>{name}: {escape(str(evaluation.opening.directory))}</h1>{_sections(evaluation)}")
    names = " and ".join(str(one.opening.directory) for one in (first, second))
    write_text(path, page(f"Comparison of {names}", "".join(parts)))


def _sections(evaluation: Evaluation) -> str:
    setting = [(name, str(value)) for name, value in evaluation.setting.items() if value is not None]
    parts = [table(("", ""), setting)]
    if evaluation.loop is not None:
        parts.append(_driving(evaluation.loop))
    if evaluation.node:
        parts.append(_through_node(evaluation))
    if evaluation.pairs:
        parts.append(_swaps(evaluation.pairs))
    if evaluation.offline is not None:
        parts.append(offline_section(evaluation.offline))
    return "".join(parts)


def _driving(loop: ClosedLoop) -> str:
    failures = rows.failure_rows(loop)
    more = f"<p>{len(failures) - LISTED} more are in the JSON file.</p>" if len(failures) > LISTED else ""
    listed = table(rows.FAILURES, failures[:LISTED]) if failures else "<p>None.</p>"
    return (
        f"<h2>Driving</h2><p>{len(loop.policy.results)} rooms that no recording shows, one task each; every line "
        f"drives the same ones, with {1000 * loop.policy.latency:.0f} ms from a frame to its plan unless it says "
        "another. SPL: success weighted by shortest free way over way driven, of the tasks that lead to an object. "
        "Stop: the policy itself said that it is done, within 0.6 m of the named object. Less nominal: paired by "
        "room.</p>"
        + images([plots.success_by_condition(loop), plots.driven_paths(loop)])
        + table(rows.SCORES, rows.score_rows(loop))
        + f"<h2>By kind of task</h2>{table(rows.KINDS, rows.kind_rows(loop))}"
        + f"<h2>Failures</h2>{listed}{more}"
    )


def _through_node(evaluation: Evaluation) -> str:
    node, loop, paired = evaluation.node, evaluation.loop, evaluation.paired_with_node
    sentences = "".join(f"<li>{escape(sentence)}</li>" for sentence in node_rows.findings(node, loop))
    return (
        f"<h2>Through policy_node</h2><p>{len(node[0].runs)} held-out rooms, the node a process of its own, armed "
        "and disarmed for each, camera and commands over DDS, in real time.</p>"
        + (f"<ul>{sentences}</ul>" if sentences else "")
        + table(rows.SCORES, node_rows.node_score_rows(node, loop))
        + ("" if paired is None else table(rows.PAIRED, rows.paired_rows([paired])))
        + f"<h2>Steps of its commands</h2><p>{node_rows.STEPS_SAY}</p>"
        + table(node_rows.STEPS, node_rows.step_rows(node))
        + f"<h2>Real time</h2>{table(node_rows.MACHINE, node_rows.machine_rows(node))}"
        + f"<details><summary>Every run</summary>{table(node_rows.RUNS, node_rows.run_rows(node))}</details>"
    )


def _swaps(pairs: Sequence[SwapPair]) -> str:
    return (
        f"<h2>Swapped words</h2>{table(rows.SWAPS, rows.swap_rows(pairs))}"
        "<p>A policy that does not hear has 0 % in the first two.</p>"
    )
