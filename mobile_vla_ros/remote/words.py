"""What policy_node and policy_server say to each other: JSON in std_msgs/String, which every ROS machine has.

Frames are not sent: both hear the same cameras, and a request names the frames by their stamps.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, NoReturn, TypeVar

from std_msgs.msg import String

from ..control import Limits
from ..control.plan import MOST_DT, MOST_ROWS

MOST_LENGTH = 2**18  # characters of a message
MOST_TEXT = 1000  # characters of a text in it
MOST_DIGITS = 20  # of a whole number: more than 64 bits have
MOST_CAMERAS = 16
MOST_RANGE = 1000.0  # m/s, rad/s that a policy may declare
MOST_LIMIT = 1e6  # SI units
AXES = ("linear_x", "angular_z")
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

    @property
    def defect(self) -> str:
        """What no policy for a base has, whoever offers it; empty: nothing."""
        if not 0.0 < self.dt <= MOST_DT:
            return f"dt = {self.dt}: expected above 0, at most {MOST_DT:g} s"
        if not 1 <= len(self.cameras) <= MOST_CAMERAS or len(set(self.cameras)) != len(self.cameras):
            return f"cameras = {self.cameras}: expected 1 to {MOST_CAMERAS} different names"
        if not all(name.replace("_", "a").isalnum() and name.isascii() for name in self.cameras):
            return f"cameras = {self.cameras}: expected letters, digits and _"
        if set(self.topics) != set(self.cameras):
            return f"topics = {sorted(self.topics)}: expected those of the cameras {sorted(self.cameras)}"
        names = [field.name for field in fields(Limits)]
        if sorted(self.limits) != sorted(names):
            return f"limits = {sorted(self.limits)}: expected {names}"
        for name, value in self.limits.items():
            if abs(value) > MOST_LIMIT:
                return f"limit {name} = {value}: expected at most {MOST_LIMIT:g}"
        try:
            Limits(**self.limits)
        except ValueError as error:
            return str(error)
        if sorted(self.ranges) != sorted(AXES):
            return f"ranges = {sorted(self.ranges)}: expected {sorted(AXES)}"
        for name, (low, high) in self.ranges.items():
            if not -MOST_RANGE <= low < high <= MOST_RANGE:
                return f"ranges {name} = {low} to {high}: expected rising, within {MOST_RANGE:g} both ways"
        return ""


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

    @property
    def defect(self) -> str:
        """What no request has; empty: nothing."""
        many = len(self.frames) > MOST_CAMERAS
        return f"frames of {len(self.frames)} cameras: expected at most {MOST_CAMERAS}" if many else ""


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

    @property
    def defect(self) -> str:
        """What no answer has, whatever it answers; empty: nothing."""
        if max(len(self.velocity), len(self.stop)) > MOST_ROWS:
            return f"{len(self.velocity)} rows, stop {len(self.stop)}: expected at most {MOST_ROWS}"
        if self.decoding < 0.0 or self.planning < 0.0:
            return f"decoding {self.decoding} s, planning {self.planning} s: expected at least 0"
        return ""


Words = TypeVar("Words", Offer, Asked, Answered)


def encode(words: Offer | Asked | Answered) -> String:
    """As a message.

    Raises:
        ValueError: A number is not finite.
    """
    return String(data=json.dumps(asdict(words), allow_nan=False))


def decode(kind: type[Words], message: String) -> Words:
    """From a message, whoever wrote it.

    Raises:
        WordsError: too long, no JSON, missing, unknown or repeated keys, a value of another type or out of bounds, or a
            number that is not finite; names it. Nothing else is raised, whatever the message holds.
    """
    try:
        return _decode(kind, message.data)
    except RecursionError as error:
        raise WordsError(f"{kind.__name__} is nested too deeply") from error


def _decode(kind: type[Words], data: str) -> Words:
    what = kind.__name__
    if len(data) > MOST_LENGTH:
        raise WordsError(f"{what} of {len(data)} characters: expected at most {MOST_LENGTH}")
    try:
        found = json.loads(
            data, parse_int=_parse_int, parse_float=_parse_float, parse_constant=_refuse, object_pairs_hook=_object
        )
    except ValueError as error:
        raise WordsError(f"{what}: {_short(error)}") from error
    names = [field.name for field in fields(kind)]
    if not isinstance(found, dict) or sorted(found) != sorted(names):
        has = sorted(found) if isinstance(found, dict) else found
        raise WordsError(f"{what} has {_short(has)}: expected {names}")
    values = {}
    for field in fields(kind):
        value = found[field.name]
        try:
            values[field.name] = _READ[str(field.type)](value)
        except (TypeError, ValueError, AttributeError) as error:
            raise WordsError(f"{what}.{field.name} = {_short(repr(value))}: expected {field.type}") from error
    words = kind(**values)
    if words.defect:
        raise WordsError(f"{what}: {_short(words.defect)}")
    return words


def _short(text: object) -> str:
    """So much of it as a log can bear, in ASCII where it cannot be printed."""
    return str(text).encode("utf-8", "backslashreplace").decode()[:200]


def _parse_int(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"a number of {len(digits)} digits: expected at most {MOST_DIGITS}")
    return int(digits)


def _parse_float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"{digits[:MOST_DIGITS]} is beyond any number that a float can be")
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key comes twice")
    return found


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


def _text(value: Any) -> str:
    if type(value) is not str or len(value) > MOST_TEXT:
        raise TypeError
    value.encode()  # half of a surrogate pair is no text: UnicodeEncodeError, which is a ValueError
    return value


def _texts(value: Any) -> dict[str, str]:
    return {_text(name): _text(one) for name, one in value.items()}


_integer = _exactly(int)
_READ: dict[str, Callable[[Any], Any]] = {
    "str": _text,
    "int": _integer,
    "bool": _exactly(bool),
    "float": _float,
    "Names": lambda value: tuple(map(_text, _exactly(list)(value))),
    "Texts": _texts,
    "Numbers": lambda value: {_text(name): _float(number) for name, number in value.items()},
    "Stamps": lambda value: {_text(name): _integer(stamp) for name, stamp in value.items()},
    "Ranges": lambda value: {_text(name): _pair(ends) for name, ends in value.items()},
    "Rows": lambda value: tuple(map(_pair, _exactly(list)(value))),
    "Column": lambda value: tuple(map(_float, _exactly(list)(value))),
}
