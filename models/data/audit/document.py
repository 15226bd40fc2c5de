"""An audit as JSON, for programs."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

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
    write_text(path, json.dumps(document(audit), indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file so that it is there complete or not at all."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
