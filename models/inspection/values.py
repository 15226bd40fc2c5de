"""What a checkpoint holds beside its tensors, as plain values for JSON and the terminal."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch

from ..checkpoint.entry import TensorEntry
from ..checkpoint.foreign import Foreign

MOST_VALUES = 1000
"""Of an entry in all; what comes after is counted, and no more."""

_MOST_ITEMS = 64
_MOST_CHARACTERS = 500
_MOST_DEPTH = 6


def plain(value: Any) -> Any:
    """A value as strict JSON has it: whole where it is small, else its beginning.

    A tensor becomes its dtype and shape, an object its class and attributes, a number that is not finite a word, and
    what is too large or too deep a word with its size.
    """
    return _Plain().of(value, 0)


class _Plain:
    """Counts the values of an entry: a few lists that hold each other can be a million."""

    def __init__(self) -> None:
        self._left = MOST_VALUES

    def of(self, value: Any, depth: int) -> Any:
        self._left -= 1
        if value is None or isinstance(value, bool | int):
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) else str(value)
        if isinstance(value, str):
            return value if len(value) <= _MOST_CHARACTERS else f"{value[:_MOST_CHARACTERS]}..."
        if isinstance(value, bytes | bytearray):
            return f"{len(value)} bytes"
        if isinstance(value, TensorEntry):
            return {"tensor": dtype_name(value.dtype), "shape": list(value.shape)}
        if isinstance(value, Foreign):
            return self._foreign(value, depth)
        if isinstance(value, Mapping):
            return self._mapping(value, depth)
        if isinstance(value, list | tuple | set | frozenset):
            if depth >= _MOST_DEPTH or self._left <= 0:
                return f"{len(value)} values"
            shown = [self.of(item, depth + 1) for item in self._first(value)]
            return [*shown, f"and {len(value) - len(shown)} more"] if len(shown) < len(value) else shown
        return dtype_name(value) if isinstance(value, torch.dtype) else str(value)

    def _foreign(self, value: Foreign, depth: int) -> Any:
        if value.args is None:
            return value.name
        content: dict[str, Any] = {"class": value.name}
        if depth < _MOST_DEPTH:
            for name, part in (
                ("attributes", value.attributes or value.state),
                ("arguments", value.args),
                ("items", value.items),
                ("elements", value.elements),
            ):
                if part:
                    content[name] = self.of(part, depth + 1)
        return content

    def _mapping(self, value: Mapping[Any, Any], depth: int) -> Any:
        if depth >= _MOST_DEPTH or self._left <= 0:
            return f"{len(value)} values"
        shown = {}
        for key in self._first(value):
            shown[key if isinstance(key, str) else str(key)] = self.of(value[key], depth + 1)
        return {**shown, "...": f"and {len(value) - len(shown)} more"} if len(shown) < len(value) else shown

    def _first(self, values: Iterable[Any]) -> Iterable[Any]:
        for position, value in enumerate(values):
            if position >= _MOST_ITEMS or self._left <= 0:
                return
            yield value


def dtype_name(dtype: torch.dtype) -> str:
    """As torch calls it, without its own name before it."""
    return str(dtype).removeprefix("torch.")
