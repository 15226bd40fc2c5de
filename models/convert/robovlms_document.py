"""A RoboVLMs configuration as its files hold it, inheritance and all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import ConversionError
from .document import Section, read_json


def read_configuration(path: Path) -> dict[str, Any]:
    """Read a configuration and those it inherits from by `parent`.

    Raises:
        ConversionError: a file that is not readable, or inherits from itself.
    """
    chain: list[dict[str, Any]] = []
    seen: set[Path] = set()
    following: Path | None = path
    while following is not None:
        if following.resolve() in seen:
            raise ConversionError(f"{path} inherits from itself by parent, through {following}")
        seen.add(following.resolve())
        chain.append(read_json(following))
        parent = chain[-1].get("parent")
        following = Path(parent) if parent else None
    merged: dict[str, Any] = {}
    for document in reversed(chain):
        _update(merged, document)
    merged["parent"] = None
    return merged


def tokenizer_path(document: dict[str, Any]) -> str:
    """Where the tokenizer lies.

    Raises:
        ConversionError: a tokenizer that RoboVLMs would have changed.
    """
    section = Section(document).section("tokenizer")
    added = section.value("additional_special_tokens")
    if added:
        section.expect("additional_special_tokens", added, None)
    return section.require("pretrained_model_name_or_path", str)


def _update(target: dict[str, Any], source: dict[str, Any]) -> None:
    """Lay `source` over `target`, objects key by key."""
    for key, value in source.items():
        below = target.get(key)
        if isinstance(value, dict) and isinstance(below, dict):
            _update(below, value)
        else:
            target[key] = value
