"""What a pickle names or makes that is neither a tensor nor plain data: kept as a record, never as the thing itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

SHOWN = 120


@dataclass(eq=False, repr=False, slots=True)
class Foreign:
    """A class, a function, or what would have been made with one. Nothing of it is imported or run.

    Compared and hashed by identity, so one may be a key in a dict whatever its state is.

    Attributes:
        name: dotted, of the class or function, with unprintable characters escaped.
        args: what it was made or called with; None where the pickle means the class or function itself.
        state: what was set on it afterwards: mostly its attributes, sometimes (attributes, slots).
        items: keys and values, where the class is a kind of dict.
        elements: where the class is a kind of list or set.
    """

    name: str
    args: tuple[Any, ...] | None = None
    state: Any = None
    items: dict[Any, Any] = field(default_factory=dict)
    elements: list[Any] = field(default_factory=list)

    @property
    def attributes(self) -> dict[str, Any]:
        """The attributes in `state` by name; empty where the state has another form."""
        parts = self.state if isinstance(self.state, tuple) and len(self.state) == 2 else (self.state,)
        if not all(part is None or isinstance(part, dict) for part in parts):
            return {}
        return {key: value for part in parts if part for key, value in part.items() if isinstance(key, str)}

    def __repr__(self) -> str:
        return f"<{self.name}>"


def printable(text: str) -> str:
    """Text from a file in a form that is safe to show: short, and without control characters."""
    escaped = "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text[:SHOWN])
    return escaped + ("..." if len(text) > SHOWN else "")


def kind(value: object) -> str:
    """What a value of a document is, in a word: a dotted name or a type's name."""
    return value.name if isinstance(value, Foreign) else type(value).__name__
