"""What policy_node and policy_server say to each other: JSON in std_msgs/String, which every ROS machine has.

Frames are not sent: both hear the same cameras, and a request names the frames by their stamps.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeVar

from std_msgs.msg import String

Names = tuple[str, ...]
Texts = Mapping[str, str]
Numbers = Mapping[str, float]
Stamps = Mapping[str, int]
Ranges = Mapping[str, tuple[float, float]]
Rows = tuple[tuple[float, float], ...]
Column = tuple[float, ...]


class WordsError(ValueError):
    """A message is not what it should be; the text says what is wrong."""


@dataclass(frozen=True)
class Offer:
    """What a server has; latched.

    Attributes:
        session: of the server's process: another one knows nothing of what was before.
        identity: of the policy, to tell policies apart; empty: not known.
        description: what computes it.
        dt: s between recurrent steps.
        cameras: that the policy looks through, its first one first.
        topics: full names of theirs, without /compressed.
        limits: fields of `control.Limits`.
        ranges: minimum and maximum of linear_x (m/s) and angular_z (rad/s).
    """

    session: str
    identity: str
    description: str
    dt: float
    cameras: Names
    topics: Texts
    limits: Numbers
    ranges: Ranges


@dataclass(frozen=True)
class Asked:
    """A recurrent step that a node asks for.

    Attributes:
        client: full name of the node.
        run: of what its instructions are counted in: a node that is configured anew counts anew.
        instruction: the sentence to follow.
        instruction_id: its number.
        stamp: s, of the oldest frame.
        frames: stamp (ns) of the frame of each camera.
    """

    client: str
    run: str
    instruction: str
    instruction_id: int
    stamp: float
    frames: Stamps


@dataclass(frozen=True)
class Answered:
    """What became of it.

    Attributes:
        client, run, instruction_id, stamp: of the request.
        session: of the server.
        failure: why the policy gave no plan; empty: it gave one.
        bad_frame: the failure is one of the frame.
        camera: whose frame that is; empty: the first one's.
        dt: s between rows.
        velocity: rows of linear_x (m/s) and angular_z (rad/s).
        stop: probability of each row that the task is done.
        decoding, planning: s that it took.
    """

    client: str
    run: str
    instruction_id: int
    stamp: float
    session: str
    failure: str = ""
    bad_frame: bool = False
    camera: str = ""
    dt: float = 0.0
    velocity: Rows = ()
    stop: Column = ()
    decoding: float = 0.0
    planning: float = 0.0


Words = TypeVar("Words", Offer, Asked, Answered)


def encode(words: Offer | Asked | Answered) -> String:
    """As a message."""
    return String(data=json.dumps(asdict(words)))


def decode(kind: type[Words], message: String) -> Words:
    """From a message.

    Raises:
        WordsError: no JSON, missing or unknown keys, or a value of another type; names it.
    """
    try:
        found = json.loads(message.data)
    except ValueError as error:
        raise WordsError(f"{kind.__name__}: {error}") from error
    names = [field.name for field in fields(kind)]
    if not isinstance(found, dict) or sorted(found) != sorted(names):
        raise WordsError(f"{kind.__name__} has {sorted(found) if isinstance(found, dict) else found}: expected {names}")
    values = {}
    for field in fields(kind):
        value = found[field.name]
        try:
            values[field.name] = _READ[str(field.type)](value)
        except (TypeError, ValueError, AttributeError) as error:
            raise WordsError(f"{kind.__name__}.{field.name} = {value!r}: expected {field.type}") from error
    return kind(**values)


def _exactly(kind: type) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if type(value) is not kind:  # a bool is an int to isinstance
            raise TypeError
        return value

    return read


def _float(value: Any) -> float:
    if type(value) not in (int, float):
        raise TypeError
    return float(value)


def _pair(value: Any) -> tuple[float, float]:
    first, second = value
    return _float(first), _float(second)


_text, _integer = _exactly(str), _exactly(int)
_READ: dict[str, Callable[[Any], Any]] = {
    "str": _text,
    "int": _integer,
    "bool": _exactly(bool),
    "float": _float,
    "Names": lambda value: tuple(map(_text, _exactly(list)(value))),
    "Texts": lambda value: {name: _text(one) for name, one in value.items()},
    "Numbers": lambda value: {name: _float(number) for name, number in value.items()},
    "Stamps": lambda value: {name: _integer(stamp) for name, stamp in value.items()},
    "Ranges": lambda value: {name: _pair(ends) for name, ends in value.items()},
    "Rows": lambda value: tuple(map(_pair, _exactly(list)(value))),
    "Column": lambda value: tuple(map(_float, _exactly(list)(value))),
}
