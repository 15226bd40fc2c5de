"""What one pass over a bag finds on its topics; of pictures when they were taken, and whether they can be used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray
from rosbags.interfaces import Connection

from ...errors import DataError
from ...image_header import ImageError
from ...images import ImageRules, check_decoding
from ...sentence import normalize_instruction
from ..configuration import InstructionTopic, Rosbag2Source, TwistName
from .reader import COMPRESSED_IMAGE, IMAGE, Bag, header_stamp, message

TWISTS: tuple[str, ...] = get_args(TwistName)
ODOMETRY: tuple[str, ...] = ("linear_x", "linear_y", "angular_z")
_STRING, _ODOMETRY = "std_msgs/msg/String", "nav_msgs/msg/Odometry"
_TWIST, _TWIST_STAMPED = "geometry_msgs/msg/Twist", "geometry_msgs/msg/TwistStamped"
_Handler = Callable[[Connection, int, bytes], None]


@dataclass
class Stream:
    """Messages of a topic, as they came: when they were received, when their headers say, velocities.

    Attributes:
        refused: Images that cannot be used: receive time (ns), time of the header (ns), reason.
    """

    topic: str
    received: list[int] = field(default_factory=list)
    headers: list[int] = field(default_factory=list)
    values: list[tuple[float, ...]] = field(default_factory=list)
    refused: list[tuple[int, int, str]] = field(default_factory=list)

    def note(self, received: int, header: int, values: tuple[float, ...] = ()) -> None:
        """Add a message (ns)."""
        self.received.append(received)
        self.headers.append(header)
        self.values.append(values)


@dataclass(frozen=True, eq=False)
class Ordered:
    """Messages of a topic in order of their stamps: publishers may overtake each other; int64 (n,) ns."""

    topic: str
    stamps: NDArray[np.int64]
    received: NDArray[np.int64]
    headers: NDArray[np.int64]
    values: NDArray[np.float32]

    def between(self, begin: int, end: int) -> Ordered:
        """Those with begin <= stamp < end."""
        rows = (self.stamps >= begin) & (self.stamps < end)
        return Ordered(self.topic, self.stamps[rows], self.received[rows], self.headers[rows], self.values[rows])

    def __len__(self) -> int:
        return len(self.stamps)


@dataclass(frozen=True)
class Streams:
    """All that was looked for, cameras by their names, sentences with their receive times (ns).

    Attributes:
        refused: Images that cannot be used, by camera: receive time (ns), stamp (ns), reason.
    """

    cameras: Mapping[str, Ordered]
    refused: Mapping[str, tuple[tuple[int, int, str], ...]]
    commands: Ordered
    odometry: Ordered | None
    sentences: tuple[tuple[int, str], ...]

    @property
    def span(self) -> tuple[int, int]:
        """The first and the last time of anything (ns)."""
        found = [*self.cameras.values(), self.commands, *([] if self.odometry is None else [self.odometry])]
        times = [times for one in found for times in (one.stamps, one.received) if len(one)]
        others = [time for time, _ in self.sentences]
        others += [received for refused in self.refused.values() for received, _, _ in refused]
        return min([*(int(of.min()) for of in times), *others]), max([*(int(of.max()) for of in times), *others])


def gather(path: Path, bag: Bag, config: Rosbag2Source) -> Streams:
    """Read a bag once.

    Raises:
        DataError: a topic that is missing, empty or of another type, a velocity that is not among the actions or not
            finite, headers without stamps or of another clock.
    """
    cameras = {name: Stream(_recorded(path, bag, topic)) for name, topic in config.cameras.items()}
    commands, odometry = Stream(config.command), None if config.odometry is None else Stream(config.odometry)
    sentences: list[tuple[int, str]] = []
    handlers: dict[str, tuple[_Handler, tuple[str, ...]]] = {
        stream.topic: (_note_picture(stream, config.rules), (IMAGE, COMPRESSED_IMAGE)) for stream in cameras.values()
    }
    handlers[commands.topic] = (_note_command(path, commands, config.actions), (_TWIST, _TWIST_STAMPED))
    if odometry is not None:
        handlers[odometry.topic] = (_note_odometry(odometry), (_ODOMETRY,))
    if isinstance(config.instruction, InstructionTopic):
        handlers[config.instruction.topic] = (_note_sentence(sentences), (_STRING,))
    for topic, (_, kinds) in handlers.items():
        _check_type(path, bag, topic, kinds)
    for connection, received, raw in bag.messages(handlers):
        handlers[connection.topic][0](connection, received, raw)
    return Streams(
        {name: _ordered(path, stream, 0, config) for name, stream in cameras.items()},
        {name: _refused(stream, config) for name, stream in cameras.items()},
        _ordered(path, commands, len(config.actions), config),
        None if odometry is None else _ordered(path, odometry, len(ODOMETRY), config),
        tuple(sentences),
    )


def _recorded(path: Path, bag: Bag, topic: str) -> str:
    """A camera's topic as it is or, if that is not there, compressed."""
    for found in (topic, f"{topic}/compressed"):
        if found in bag.types:
            return found
    raise DataError(f"{path}: no {topic} and no {topic}/compressed among {', '.join(sorted(bag.types)) or 'no topics'}")


def _check_type(path: Path, bag: Bag, topic: str, kinds: tuple[str, ...]) -> None:
    if topic not in bag.types:
        raise DataError(f"{path}: no {topic} among {', '.join(sorted(bag.types))}")
    wrong = sorted(bag.types[topic] - set(kinds))
    if wrong:
        raise DataError(f"{path}: {topic} is {wrong[0]}, expected {' or '.join(kinds)}")


def _note_picture(stream: Stream, rules: ImageRules) -> _Handler:
    def note(connection: Connection, received: int, raw: bytes) -> None:
        header = header_stamp(raw)
        try:
            check_decoding(message(connection, raw), rules)
            stream.note(received, header)
        except ImageError as error:
            stream.refused.append((received, header, str(error)))

    return note


def _note_command(path: Path, stream: Stream, actions: tuple[str, ...]) -> _Handler:
    def note(connection: Connection, received: int, raw: bytes) -> None:
        found = message(connection, raw)
        stamped = connection.msgtype == _TWIST_STAMPED
        values = _velocity(found.twist if stamped else found)
        other = [name for name in TWISTS if values[name] != 0.0 and name not in actions]
        if other:
            raise DataError(
                f"{path}: {stream.topic} at {received * 1e-9:.3f} s commands {other[0]} {values[other[0]]}, "
                f"which is not among the actions {', '.join(actions)}"
            )
        header = header_stamp(raw) if stamped else received
        stream.note(received, header, tuple(values[name] for name in actions))

    return note


def _note_odometry(stream: Stream) -> _Handler:
    def note(connection: Connection, received: int, raw: bytes) -> None:
        values = _velocity(message(connection, raw).twist.twist)
        stream.note(received, header_stamp(raw), tuple(values[name] for name in ODOMETRY))

    return note


def _note_sentence(sentences: list[tuple[int, str]]) -> _Handler:
    def note(connection: Connection, received: int, raw: bytes) -> None:
        sentences.append((received, normalize_instruction(message(connection, raw).data)))

    return note


def _velocity(twist: Any) -> dict[str, float]:
    parts = (("linear", twist.linear), ("angular", twist.angular))
    return {f"{name}_{axis}": float(getattr(part, axis)) for name, part in parts for axis in "xyz"}


def _ordered(path: Path, stream: Stream, width: int, config: Rosbag2Source) -> Ordered:
    received, headers = (np.array(times, dtype=np.int64) for times in (stream.received, stream.headers))
    if len(received) == 0 and not stream.refused:
        raise DataError(f"{path}: {stream.topic} holds no message")
    stamps = received if config.stamps == "received" else headers
    if len(stamps) and not stamps.any():
        raise DataError(f"{path}: the headers of {stream.topic} hold no stamps (all are 0): set stamps: received")
    if len(stamps) and (stamps.max() < received.min() or stamps.min() > received.max()):
        times = [f"{time * 1e-9:.3f}" for time in (stamps.min(), stamps.max(), received.min(), received.max())]
        raise DataError(
            f"{path}: {stream.topic} is stamped {times[0]} to {times[1]} s, was received {times[2]} to {times[3]} s: "
            "another clock; set stamps: received"
        )
    order = np.argsort(stamps, kind="stable")
    values = np.array(stream.values, dtype=np.float32).reshape(len(order), width)
    return Ordered(stream.topic, stamps[order], received[order], headers[order], values[order])


def _refused(stream: Stream, config: Rosbag2Source) -> tuple[tuple[int, int, str], ...]:
    if config.stamps == "header":
        return tuple(stream.refused)
    return tuple((received, received, reason) for received, _, reason in stream.refused)
