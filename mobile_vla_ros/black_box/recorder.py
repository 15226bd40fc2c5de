"""The black box: messages go in all the time, a recording comes out when something trips it."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage, Image

from .recording import PREFIX, check_types, keep_newest, write
from .ring import Entry, Ring, Topic


@dataclass(frozen=True)
class BlackBoxConfig:
    """What is kept, and where it goes.

    Attributes:
        folder: of the recordings, made when the first is written; of this recorder alone.
        before: s before a trip that are recorded.
        after: s after it.
        max_bytes: of one recording; the memory that is used is at most twice that.
        keep: recordings; the oldest are removed.
        pause: s after a recording in which nothing trips that is not urgent.

    Raises:
        ValueError: a value out of range; the message names it.
    """

    folder: Path
    before: float = 15.0
    after: float = 5.0
    max_bytes: int = 256 * 2**20
    keep: int = 10
    pause: float = 30.0

    def __post_init__(self) -> None:
        for name, value in (("before", self.before), ("after", self.after), ("pause", self.pause)):
            if not (math.isfinite(value) and value >= 0.0):
                raise ValueError(f"black box: {name} is {value} s: expected finite, 0 or more")
        if self.before + self.after == 0.0:
            raise ValueError("black box: before and after are 0 s: nothing would be recorded")
        for name, count in (("max_bytes", self.max_bytes), ("keep", self.keep)):
            if count < 1:
                raise ValueError(f"black box: {name} is {count}: expected 1 or more")


@dataclass
class _Trip:
    """A recording that is still growing.

    Attributes:
        notes: of what and when.
        until: s, steady; what comes later is not in it.
        entries: oldest first.
        size: bytes of them.
        dropped: messages that did not fit.
    """

    notes: dict[str, str]
    until: float
    entries: list[Entry]
    size: int
    dropped: int = field(default=0)


class BlackBox:
    """Keeps the last seconds of messages; on a trip a thread writes them, and those that follow, as a recording.

    `add` and `trip` store and return: they never wait for a disk and raise nothing that has to do with one.

    Args:
        config: what is kept, and where it goes.
        topics: all that may be added.
        on_written: called in the thread with the folder of a new recording.
        on_failure: called in the thread when a recording cannot be written, with the reason; not again before
            one has been written.

    Raises:
        ValueError: a type that cannot be recorded.
    """

    def __init__(
        self,
        config: BlackBoxConfig,
        topics: Sequence[Topic],
        *,
        on_written: Callable[[Path], object],
        on_failure: Callable[[str], object],
    ) -> None:
        check_types(topics)
        self._config = config
        self._topics = tuple(topics)
        self._names = frozenset(topic.name for topic in topics)
        self._on_written, self._on_failure = on_written, on_failure
        share = config.before / (config.before + config.after)
        latched = [topic.name for topic in topics if topic.latched]
        self._ring = Ring(config.before, int(share * config.max_bytes), latched)
        self._trip: _Trip | None = None
        self._calm_until = -math.inf  # s, steady
        self._failing = False
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="black_box", daemon=True)
        self._thread.start()

    def add(self, topic: str, message: object, received: int) -> None:
        """Keep a message for a while.

        Args:
            topic: one of those given.
            message: of its type, or its serialised bytes. A camera's is kept as it is, for to copy it takes long: it
                must not be changed any more.
            received: ns, on the clock of ROS.

        Raises:
            ValueError: another topic.
        """
        if topic not in self._names:
            raise ValueError(f"topic {topic} is not recorded, only {', '.join(sorted(self._names))}")
        if isinstance(message, (Image, CompressedImage)):
            size = len(message.data)
        else:
            message = message if isinstance(message, bytes) else bytes(serialize_message(message))
            size = len(message)
        entry = Entry(topic, message, received, time.monotonic(), size)
        with self._changed:
            self._ring.add(entry)
            trip = self._trip
            if trip is None or entry.steady > trip.until:
                return
            if trip.size + size > self._config.max_bytes:
                trip.dropped += 1
                return
            trip.entries.append(entry)
            trip.size += size

    def trip(self, reason: str, *, urgent: bool = False) -> bool:
        """Record what was and what follows; False if that is being done, or was done a moment ago.

        Args:
            reason: for people; goes into the recording's metadata, an urgent one also into that of one that grows.
            urgent: whether it is recorded however short a time the last recording is past.
        """
        steady = time.monotonic()
        with self._changed:
            trip = self._trip
            if self._closed or (steady < self._calm_until and not urgent):
                return False
            if trip is not None:
                if steady <= trip.until:
                    trip.notes["reason"] += f"; then: {reason}"
                return False
            until = steady + self._config.after
            self._calm_until = until + self._config.pause
            entries = self._ring.entries()
            notes = {"reason": reason, "tripped": datetime.now(timezone.utc).isoformat()}
            self._trip = _Trip(notes, until, entries, sum(entry.size for entry in entries))
            self._changed.notify()
        return True

    def close(self, timeout: float) -> bool:
        """End; a recording that is growing is written with what there is, if that takes at most `timeout` s.

        Returns:
            Whether the thread has ended.
        """
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._trip is not None or self._closed)
                trip = self._trip
                if trip is None:
                    return
                self._changed.wait_for(lambda: self._closed, max(0.0, trip.until - time.monotonic()))
                trip.until = -math.inf  # nothing is added any more
            self._write(trip)
            with self._changed:
                self._trip = None

    def _write(self, trip: _Trip) -> None:
        path = self._config.folder / f"{PREFIX}{datetime.now(timezone.utc):%Y%m%d_%H%M%S_%f}"
        try:
            write(path, self._topics, trip.entries, {**trip.notes, "dropped_messages": str(trip.dropped)})
            keep_newest(path, self._config.keep)
        except Exception as error:  # noqa: BLE001  (in a thread it would be lost; the robot needs no recording)
            if not self._failing:
                self._failing = True
                self._on_failure(f"recording {path}: {type(error).__name__}: {error}")
        else:
            self._failing = False
            self._on_written(path)
