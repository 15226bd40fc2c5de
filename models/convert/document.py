"""A foreign framework's configuration, read key by key: what nobody asked for is known afterwards."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

from ..errors import ConversionError

T = TypeVar("T")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        ConversionError: not readable, not JSON, or no object.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConversionError(f"{path}: not a readable JSON file ({error})") from error
    if not isinstance(document, dict):
        raise ConversionError(f"{path}: expected a JSON object, found {type(document).__name__}")
    return document


class Section:
    """A JSON object whose keys are asked for by name and type.

    Args:
        document: the object.
        path: of the object in its file, for messages; empty for the whole file.
    """

    def __init__(self, document: Mapping[str, Any], path: str = "") -> None:
        self._document = document
        self._path = path
        self._asked: set[str] = set()

    def name(self, key: str) -> str:
        """The key with its path."""
        return f"{self._path}.{key}" if self._path else key

    def require(self, key: str, kind: type[T]) -> T:
        """The value of a key that must be there.

        Raises:
            ConversionError: it is not, or of another type.
        """
        self._asked.add(key)
        if key not in self._document:
            raise ConversionError(f"{self.name(key)} is missing, expected {kind.__name__}")
        value = self._document[key]
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise ConversionError(f"{self.name(key)} is {value!r}, expected {kind.__name__}")
        return value

    def get(self, key: str, default: T) -> T:
        """The value of a key, or what holds without it; of the type of `default`."""
        return self.require(key, type(default)) if key in self._document else default

    def section(self, key: str) -> Section:
        """The object at a key that must be there."""
        return Section(self.require(key, dict), self.name(key))

    def value(self, key: str) -> Any:
        """The value of a key whatever its type, None if it is not there."""
        self._asked.add(key)
        return self._document.get(key)

    def expect(self, key: str, value: object, supported: object, why: str = "") -> None:
        """Refuse a key's value unless it is what is supported.

        Raises:
            ConversionError: names the key, its value and what is supported.
        """
        if value != supported:
            raise ConversionError(f"{self.name(key)} is {value!r}, supported: {supported!r}{why and f' ({why})'}")

    def unknown(self, ignored: Collection[str]) -> list[str]:
        """Keys that nobody asked for and that are not ignored knowingly, with their paths."""
        return sorted(self.name(key) for key in self._document.keys() - self._asked - set(ignored))
