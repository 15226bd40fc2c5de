"""An audit as JSON, for programs."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from ... import documents
from .run import Audit


def document(audit: Audit) -> dict[str, Any]:
    """Everything but the pictures; None where something is not known."""
    return {
        "overall": dataclasses.asdict(audit.overall),
        "flags": [dataclasses.asdict(flag) for flag in audit.flags],
        "episodes": [dataclasses.asdict(report) for report in audit.episodes],
    }


def write_json(audit: Audit, path: Path) -> None:
    """Write strict JSON (no NaN) beside its name, then rename.

    Raises:
        OSError: not writable.
    """
    documents.write_json(path, document(audit))
