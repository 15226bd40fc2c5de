"""Findings as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from .finding import Finding, State

_STYLES = {State.OK: "green", State.WARNING: "yellow", State.ERROR: "red"}


def table(findings: Sequence[Finding]) -> Table:
    """One row a finding; what to do stands under what was found."""
    counts = Counter(finding.state for finding in findings)
    made = Table(
        title=", ".join(f"{counts[state]} {state.value}" for state in State), title_justify="left", show_lines=False
    )
    made.add_column("")
    made.add_column("check", overflow="fold")
    made.add_column("found, and what to do", overflow="fold")
    for finding in findings:
        style = _STYLES[finding.state]
        advice = f"\n[bold]-> {escape(finding.advice)}[/bold]" if finding.advice else ""
        made.add_row(f"[{style}]{finding.state.value}[/{style}]", escape(finding.check), escape(finding.found) + advice)
    return made
