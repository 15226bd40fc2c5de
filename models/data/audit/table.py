"""An audit in the terminal."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from ...documents import first_of
from .figures import overall_rows
from .flags import Severity
from .run import Audit

NAMED = 3  # episodes of a flag
_STYLES = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.NOTE: "cyan"}


def overall_table(audit: Audit) -> Table:
    """What was measured over the set."""
    table = Table(title="audit", show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for label, value in overall_rows(audit):
        table.add_row(escape(label), escape(value))
    return table


def flag_table(audit: Audit) -> Table:
    """The complaints, errors first."""
    table = Table(title=f"{len(audit.flags)} flags", show_lines=True)
    for heading in ("", "check", "found and what to do", "episodes"):
        table.add_column(heading)
    for flag in audit.flags:
        style = _STYLES[flag.severity]
        table.add_row(
            f"[{style}]{flag.severity.value}[/{style}]",
            escape(flag.check),
            escape(f"{flag.found}. {flag.remedy}"),
            escape(first_of(flag.episodes, NAMED, "\n")) if flag.episodes else "the set",
        )
    return table
