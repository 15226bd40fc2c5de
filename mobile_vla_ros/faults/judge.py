"""Commands and the time of a fault in, a verdict out. Pure; it knows neither ROS nor the node."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from .base import time_to_rest
from .bounds import Command, Rules, breaches

BEFORE = 0.3  # s before the fault in which commands must keep the bounds, too
STEADY_RATE = 0.5  # of the control rate: fewer commands than that have ceased
STEADY_SPEED = 0.9  # of the speed before: less is no driving on
SILENT_AFTER = 0.3  # s after a last zero from which on nothing may come


class Expected(str, Enum):
    """What the commands must do after a fault."""

    AT_ONCE = "zero at once"
    AGAIN = "zero at once, each time"
    SILENCE = "zero at once, then nothing"
    RAMP = "ramp to zero"
    FIRST_ZERO = "zero first on waking"
    NEW_PLAN = "old plan fades"
    DRIVES_ON = "refused, drives on"
    STANDS = "refused, stands"
    NO_MOTION = "no motion"
    NOTHING = "nothing published"
    BASE = "the base stops"


_RAMPS = (Expected.RAMP, Expected.NEW_PLAN)
_STILL = (Expected.STANDS, Expected.NO_MOTION)


@dataclass(frozen=True)
class Window:
    """What is looked at.

    Attributes:
        begin: s, steady clock: the fault itself.
        end: s, steady clock: until here the zeros must last.
    """

    begin: float
    end: float


@dataclass(frozen=True)
class Verdict:
    """What was seen.

    Attributes:
        zero: s from the fault to the first of the zeros that last; None: there is none, or none is asked for.
        out_of_bounds: each command that must not have been, in words.
        failures: everything else that is not as expected, in words.
    """

    zero: float | None
    out_of_bounds: tuple[str, ...]
    failures: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Nothing is wrong."""
        return not self.out_of_bounds and not self.failures


def judge(commands: Sequence[Command], expected: Expected, window: Window, within: float, rules: Rules) -> Verdict:
    """Hold commands against what is expected of them.

    Args:
        commands: in the order of arrival.
        expected: what they must do.
        window: the fault, and how long it was watched.
        within: s from the fault to zero that are allowed, those of the transport included.
        rules: that every command must keep.
    """
    seen = [command for command in commands if window.begin - BEFORE <= command.received < window.end]
    after = [command for command in seen if command.received >= window.begin]
    out = list(breaches(seen, rules, abrupt=expected not in _RAMPS))
    if expected is Expected.NOTHING:
        return Verdict(None, tuple(out), _unless(not after, f"{len(after)} commands were published"))
    if expected is Expected.DRIVES_ON:
        slowest = min((command.linear_x for command in after), default=0.0)
        drove_on = slowest > STEADY_SPEED * _speed(seen, window.begin)
        failures = _rate(after, window, rules) + _unless(drove_on, f"it did not drive on, but at {slowest:.3f} m/s")
        return Verdict(None, tuple(out), failures)
    if expected is Expected.NEW_PLAN:
        return Verdict(*_fading(after, window, within, out), _rate(after, window, rules))
    if expected in _STILL:
        out += _moving(after)
        return Verdict(None, tuple(out), _rate(after, window, rules))
    if expected is Expected.FIRST_ZERO:
        first = after[:1]
        zero = first[0].received - window.begin if first and first[0].is_zero else None
        return Verdict(zero, tuple(out + _moving(first)), _in_time(zero, within))
    if expected is Expected.BASE:
        rest = time_to_rest(commands, window.begin, window.end)
        still = _unless(not after, f"{len(after)} commands came from a process that was killed")
        return Verdict(rest, tuple(out), _in_time(rest, within) + still)
    zero = _first_lasting(after, window.begin)
    failures = _in_time(zero, within)
    out += _moving([c for c in after if c.received > window.begin + within])
    if expected is not Expected.AGAIN:
        out += _moving(_since_first_zero(after))
    if expected is Expected.SILENCE:
        late = [c for c in after if zero is not None and c.received > window.begin + zero + SILENT_AFTER]
        failures += _unless(not late, f"{len(late)} commands came after the last zero")
    else:
        failures += _rate(after, window, rules)
    if expected is Expected.RAMP:
        between = [c for c in after if 0.0 < abs(c.linear_x) < STEADY_SPEED * _speed(seen, window.begin)]
        failures += _unless(len(between) >= 2, "there was no ramp")
    return Verdict(zero, tuple(dict.fromkeys(out)), failures)


def _first_lasting(commands: Sequence[Command], begin: float) -> float | None:
    """S from `begin` to the first of the zeros that last to the end; None: the last command is not zero."""
    first: float | None = None
    for command in reversed(commands):
        if not command.is_zero:
            break
        first = command.received - begin
    return first


def _since_first_zero(after: Sequence[Command]) -> Sequence[Command]:
    """What came from the first zero on: if not all of it is zero, the robot creeps."""
    return after[next((number for number, command in enumerate(after) if command.is_zero), len(after)) :]


def _moving(commands: Sequence[Command]) -> list[str]:
    return [
        f"command ({command.linear_x:.3f}, {command.angular_z:.3f}) where there must be none but zero"
        for command in commands
        if not command.is_zero
    ]


def _speed(seen: Sequence[Command], begin: float) -> float:
    """M/s of the last command before the fault."""
    return next((abs(command.linear_x) for command in reversed(seen) if command.received < begin), 0.0)


def _in_time(zero: float | None, within: float) -> tuple[str, ...]:
    if zero is None:
        return ("there was no zero that lasts",)
    return _unless(zero <= within, f"zero after {zero:.3f} s, allowed are {within:.3f} s")


def _rate(after: Sequence[Command], window: Window, rules: Rules) -> tuple[str, ...]:
    due = STEADY_RATE * (window.end - window.begin) / rules.period
    return _unless(len(after) >= due, f"commands have ceased: {len(after)} came, expected {due:.0f} at least")


def _fading(
    after: Sequence[Command], window: Window, within: float, out: list[str]
) -> tuple[float | None, tuple[str, ...]]:
    """When the last command that turns left, as the old plan did, had gone; the new one turns right."""
    turning = [command for command in after if command.angular_z > 0.0]
    # The new instruction is heard some time within what is allowed; from then on the old plan only fades.
    steady = [number for number, command in enumerate(turning) if command.angular_z >= turning[0].angular_z]
    fading = turning[steady[-1] :] if steady else []
    for before, command in itertools.pairwise(fading):
        if command.angular_z >= before.angular_z:
            out.append(f"angular_z {before.angular_z:.3f} to {command.angular_z:.3f}: the old plan is still followed")
    out += [
        f"angular_z {command.angular_z:.3f} of the old plan {command.received - window.begin:.3f} s later"
        for command in turning
        if command.received > window.begin + within
    ]
    if not any(command.angular_z < 0.0 for command in after):
        out.append("the new plan was never followed")
    return (turning[-1].received - window.begin if turning else 0.0), tuple(out)


def _unless(fine: bool, otherwise: str) -> tuple[str, ...]:
    return () if fine else (otherwise,)
