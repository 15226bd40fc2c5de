"""The scores in a policy's model card, written by the run that measured them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..sim.task import Outcome
from .closed_loop import Score
from .statistics import wilson_interval
from .swap import SwapPair

HEADING = "## What it scored in closed loop"


def write_card(policy_dir: Path, command: str, scores: Sequence[Score], pairs: Sequence[SwapPair]) -> None:
    """Put the scores at the end of a policy's README.md, in the place of older ones.

    Raises:
        OSError: the card cannot be read or written.
    """
    card = policy_dir / "README.md"
    text = card.read_text(encoding="utf-8").split(HEADING)[0].rstrip()
    temporary = card.with_name(card.name + ".part")
    temporary.write_text(f"{text}\n\n{card_section(command, scores, pairs)}", encoding="utf-8")
    temporary.replace(card)


def card_section(command: str, scores: Sequence[Score], pairs: Sequence[SwapPair]) -> str:
    """Markdown: one row per driver, the policy's successes by kind of task, and the swapped words."""
    lines = [
        HEADING,
        "",
        f"`{command}`, over {scores[0].trials()} held-out rooms, one task each:",
        "",
        "| | success | 95 % Wilson interval | wrong object | collision | time-out | mean time of successes |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for score in scores:
        trials = score.trials()
        low, high = wilson_interval(score.count(Outcome.REACHED), trials)
        shares = [f"{100 * score.count(outcome) / trials:.0f} %" for outcome in Outcome]
        seconds = f"{score.mean_seconds:.1f} s" if score.count(Outcome.REACHED) else "-"
        interval = f"{100 * low:.0f} to {100 * high:.0f} %"
        lines.append(f"| {score.name} | {shares[0]} | {interval} | {' | '.join(shares[1:])} | {seconds} |")
    kinds = sorted({result.kind for result in scores[0].results})
    by_kind = (f"{kind} {scores[0].count(Outcome.REACHED, kind)} of {scores[0].trials(kind)}" for kind in kinds)
    lines += ["", f"The policy by kind of task: {', '.join(by_kind)}."]
    if pairs:
        changed, right = sum(pair.changed for pair in pairs), sum(pair.both_right for pair in pairs)
        lines += [
            "",
            f"Same start, the other of two visible objects named: in {changed} of {len(pairs)} pairs the object "
            f"reached changes with the words; in {right} both runs end at the named one.",
        ]
    return "\n".join(lines) + "\n"
