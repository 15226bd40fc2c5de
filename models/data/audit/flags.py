"""What an audit complains about."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Severity(str, Enum):
    """How bad it is."""

    ERROR = "error"  # the data say something false: training on them teaches it
    WARNING = "warning"  # the policy will likely suffer
    NOTE = "note"  # worth to know


@dataclass(frozen=True)
class Flag:
    """One complaint.

    Attributes:
        check: what was looked at, e.g. "colour order".
        severity: how bad it is.
        episodes: sources of the episodes concerned; empty where it is the set as a whole.
        found: what was found, with numbers.
        remedy: what to do about it.
    """

    check: str
    severity: Severity
    episodes: tuple[str, ...]
    found: str
    remedy: str


def by_severity(flags: list[Flag]) -> list[Flag]:
    """Errors first; otherwise in the order given."""
    order = list(Severity)
    return sorted(flags, key=lambda flag: order.index(flag.severity))
