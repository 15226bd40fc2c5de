"""What a check says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class State(str, Enum):
    """How bad it is. An error keeps the policy from driving, or makes it unsafe."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class Finding:
    """The outcome of one check.

    Attributes:
        check: what was looked at.
        state: how bad it is.
        found: what was found.
        advice: what to do; empty if nothing.
    """

    check: str
    state: State
    found: str
    advice: str = ""

    def document(self) -> dict[str, str]:
        """For JSON."""
        return {"check": self.check, "state": self.state.value, "found": self.found, "advice": self.advice}


def ok(check: str, found: str) -> Finding:
    """All is well."""
    return Finding(check, State.OK, found)


def warning(check: str, found: str, advice: str) -> Finding:
    """It may work, but not as well as it could, or not always."""
    return Finding(check, State.WARNING, found, advice)


def error(check: str, found: str, advice: str) -> Finding:
    """It does not work."""
    return Finding(check, State.ERROR, found, advice)
