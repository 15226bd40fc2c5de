"""What people write and what is found in it: YAML read and checked, every finding named with its file and key."""

from __future__ import annotations

from collections.abc import Sequence
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
