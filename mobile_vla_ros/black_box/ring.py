"""The newest messages, bounded by time and by bytes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Topic:
    """What is recorded.

    Attributes:
        name: fully qualified.
        type: of its messages, such as sensor_msgs/msg/Image.
        latched: whether its last message holds until the next one: it is recorded however old it is.
    """

    name: str
    type: str
    latched: bool = False


@dataclass(frozen=True)
class Entry:
    """A message.

    Attributes:
        topic: its name.
        message: bytes, serialised; or the object itself, which nobody may change any more.
        received: ns, on the clock of ROS.
        steady: s, time.monotonic() at that moment.
        size: bytes, nearly.
    """

    topic: str
    message: object
    received: int
    steady: float
    size: int


class Ring:
    """Keeps entries until they are older than `seconds` or together larger than `max_bytes`; the oldest go first.

    Args:
        seconds: on the steady clock.
        max_bytes: of all entries; the latched messages come on top.
        latched: topics whose last message stays.
    """

    def __init__(self, seconds: float, max_bytes: int, latched: Iterable[str]) -> None:
        self._seconds = seconds
        self._max_bytes = max_bytes
        self._entries: deque[Entry] = deque()
        self._latched: dict[str, Entry | None] = dict.fromkeys(latched)
        self._size = 0

    def add(self, entry: Entry) -> None:
        """Take the newest entry, let go of the oldest."""
        self._entries.append(entry)
        self._size += entry.size
        while self._entries and (
            self._size > self._max_bytes or entry.steady - self._entries[0].steady > self._seconds
        ):
            oldest = self._entries.popleft()
            self._size -= oldest.size
            if oldest.topic in self._latched:
                self._latched[oldest.topic] = oldest

    def entries(self) -> list[Entry]:
        """All of them, oldest first; before them what was latched, as if received together with the first."""
        entries = list(self._entries)
        held = [entry for entry in self._latched.values() if entry is not None]
        if entries:
            held = [replace(entry, received=entries[0].received) for entry in held]
        return held + entries
