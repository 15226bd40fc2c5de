"""What an evaluation measured, in the policy's model card."""

from __future__ import annotations

from collections.abc import Sequence

from mobile_vla_models.documents import write_text
from mobile_vla_models.evaluation import rows as offline_rows
from mobile_vla_models.policy_entries import CARD

from . import node_rows, rows
from .evaluation import Evaluation

HEADING = "## What evaluation measured"
# Of cards written before held-out episodes were evaluated too.
_FORMER = "## What it scored in closed loop"


def write_card(evaluation: Evaluation, command: str) -> None:
    """Put the measurements at the end of the policy's README.md, in the place of older ones.

    Raises:
        OSError: the card cannot be read or written.
    """
    card = evaluation.opening.directory / CARD
    text = card.read_text(encoding="utf-8").split(_FORMER)[0].split(HEADING)[0].rstrip()
    write_text(card, f"{text}\n\n{card_section(evaluation, command)}")


def card_section(evaluation: Evaluation, command: str) -> str:
    """Markdown: every table of the evaluation, under the command that made it."""
    parts = [HEADING, f"`{command}`"]
    if evaluation.loop is not None:
        trials = len(evaluation.loop.policy.results)
        parts += [
            f"Driving, over {trials} held-out rooms, one task each:",
            _table(rows.SCORES, rows.score_rows(evaluation.loop)),
            _table(rows.KINDS, rows.kind_rows(evaluation.loop)),
        ]
    if evaluation.node:
        node, loop, paired = evaluation.node, evaluation.loop, evaluation.paired_with_node
        parts += [
            f"Through `policy_node`, over DDS and in real time, {len(node[0].runs)} held-out rooms:",
            _table(rows.SCORES, node_rows.node_score_rows(node, loop)),
            "" if paired is None else _table(rows.PAIRED, rows.paired_rows([paired])),
            _table(node_rows.STEPS, node_rows.step_rows(node)),
            " ".join(node_rows.findings(node, loop)),
        ]
    if evaluation.pairs:
        parts.append(_table(rows.SWAPS, rows.swap_rows(evaluation.pairs)))
    offline = evaluation.offline
    if offline is not None:
        parts += [
            f"Held-out episodes ({len(offline.sources)}, {offline.frames} frames); the constant is their mean "
            "or median command, whichever does better; skill is 1 - error / error of the better baseline:",
            _table(offline_rows.FIGURES, offline_rows.figure_rows(offline)),
            _table(offline_rows.DELAYS, offline_rows.delay_rows(offline)),
            f"The same frames under other words; {offline.empty}:",
            _table(offline_rows.WORDS, offline_rows.sensitivity_rows(offline)),
        ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    if not lines:
        return ""
    rule = ["---", *["---:"] * (len(headings) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (headings, rule, *lines))
