"""Parts of an HTML report that needs nothing beside it, and what it says of held-out episodes."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

from ..data.audit.page import STYLE
from . import plots, rows
from .offline import Offline


def page(title: str, body: str) -> str:
    """A whole page."""
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{STYLE}</style></head><body><h1>{escape(title)}</h1>{body}</body></html>\n"
    )


def table(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table; its first column is text, the others are numbers."""
    head = "".join(f"<th{_number(column)}>{escape(text)}</th>" for column, text in enumerate(headings))
    body = "".join(
        "<tr>" + "".join(f"<td{_number(column)}>{escape(text)}</td>" for column, text in enumerate(line)) + "</tr>"
        for line in lines
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def images(pictures: Sequence[bytes | None]) -> str:
    """Plots one after the other; those that there are."""
    drawn = (
        f'<img src="data:image/png;base64,{base64.b64encode(picture).decode("ascii")}" alt="plot">'
        for picture in pictures
        if picture is not None
    )
    return f'<div class="plots">{"".join(drawn)}</div>'


def offline_section(offline: Offline) -> str:
    """Everything that was measured over held-out episodes."""
    delays = rows.delay_rows(offline)
    return (
        f"<h2>Held-out episodes</h2><p>{len(offline.sources)} episodes, {offline.frames} frames, one each "
        f"{offline.dt:g} s as on the robot. Skill is 1 - error / error of the better baseline; the constant is the "
        "mean or the median command of these very episodes, whichever does better; copy-last repeats the command of "
        "one step before. Intervals are bootstrapped by episode. That the policy was not trained on them is for "
        "whoever chose them to know. These are diagnostics: only driving counts.</p>"
        + table(rows.FIGURES, rows.figure_rows(offline))
        + images([plots.error_by_horizon(offline), plots.commanded_against_recorded(offline)])
        + (f"<h2>Stop</h2>{table(rows.DELAYS, delays)}" if delays else "")
        + images([plots.stop_confusion(offline)])
        + "<h2>Do the words decide?</h2>"
        + table(rows.WORDS, rows.sensitivity_rows(offline))
        + f"<p>{escape(offline.empty)}. {escape(_examples(offline))}</p>"
        + images([plots.change_by_words(offline)])
    )


def _examples(offline: Offline) -> str:
    found = {kind: one for kind, one in offline.sensitivity.items() if one is not None}
    return "; ".join(f"{kind}: {one.example[0]!r} becomes {one.example[1]!r}" for kind, one in found.items()) + "."


def _number(column: int) -> str:
    return ' class="number"' if column else ""
