"""Documents: YAML that people write, read and checked, every finding named; JSON and text, whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from .errors import MobileVLAError

M = TypeVar("M", bound=BaseModel)


def read_yaml(path: Path, error: type[MobileVLAError]) -> Any:
    """The content of a YAML file.

    Raises:
        MobileVLAError: of the kind given; not readable or not YAML.
    """
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as reason:
        raise error(f"{path}: not readable ({reason})") from reason
    except yaml.YAMLError as reason:
        raise error(f"{path}: not YAML ({reason})") from reason


def validate(kind: type[M], document: Any, path: Path, error: type[MobileVLAError]) -> M:
    """A document as a typed configuration.

    Raises:
        MobileVLAError: of the kind given; unknown or missing keys, values out of range; all are named.
    """
    try:
        return kind.model_validate(document)
    except ValidationError as reason:
        raise error(f"{path}: {findings(reason)}") from reason


def findings(error: ValidationError) -> str:
    """All findings of a validation in one line, each with its key."""
    return "; ".join(
        f"{'.'.join(str(part) for part in item['loc']) or 'document'}: {item['msg']}" for item in error.errors()
    )


def first_of(items: Sequence[str], most: int, separator: str = "; ") -> str:
    """The first items in one line, and how many more there are."""
    more = len(items) - most
    return separator.join(items[:most]) + (f"{separator}and {more} more" if more > 0 else "")


def write_json(path: Path, document: Mapping[str, Any] | Sequence[Any]) -> None:
    """Write strict JSON (no NaN); see `write_text`.

    Raises:
        OSError: not writable.
    """
    write_text(path, json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file beside its name, then rename: it is there complete or not at all.

    Raises:
        OSError: not writable.
    """
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
