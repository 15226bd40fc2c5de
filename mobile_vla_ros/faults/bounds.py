"""What every command must keep, whatever happens: finite, within the limits of speed, acceleration and jerk."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..control import Braking, Limits

CLOCK_SLACK = 0.03  # s between the moment a command is computed for and the one it is stamped with, on a busy machine
_JUMP = 0.25  # s by which stamps may tell another time than arrivals do: more is a clock that jumped
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Command:
    """A velocity as it arrived.

    Attributes:
        received: s, steady clock.
        sent: s, the stamp that its sender gave it.
        linear_x: m/s.
        angular_z: rad/s.
    """

    received: float
    sent: float
    linear_x: float
    angular_z: float

    @property
    def is_zero(self) -> bool:
        """Exactly zero; NaN is not."""
        return self.linear_x == 0.0 and self.angular_z == 0.0


@dataclass(frozen=True)
class Rules:
    """What is held against the commands.

    Attributes:
        limits: of the motion.
        braking: Limits of ramps to rest. Which commands are of one is not known: every step that slows down may be, and
            so may end at once what made the robot faster before.
        period: s between two commands of the control loop; one step of a ramp takes two at most.
        slack: s by which the time between two commands is uncertain. Only what no time within it explains is a breach.
    """

    limits: Limits
    braking: Braking
    period: float
    slack: float = CLOCK_SLACK


def breaches(commands: Sequence[Command], rules: Rules, abrupt: bool) -> Iterator[str]:
    """Everything that is wrong with a series of commands, in words.

    Args:
        commands: in the order of sending.
        rules: that they must keep.
        abrupt: whether a zero may come at once; otherwise the way to it is a ramp like any other.
    """
    limits = rules.limits
    for command in commands:
        yield from _of_speed(command, limits)
    for name, rates, values in (
        ("linear_x", _linear(rules), [c.linear_x for c in commands]),
        ("angular_z", _angular(rules), [c.angular_z for c in commands]),
    ):
        last: Span | None = None  # of the step before
        for number, step in enumerate(_steps(commands, rules)):
            before, after = values[number], values[number + 1]
            at_once = abrupt and commands[number + 1].is_zero
            if at_once or not (math.isfinite(before) and math.isfinite(after)):
                last = None if not at_once else (0.0, 0.0)
                continue
            now = _range(after - before, step, rules)
            where = f"{name} {before:.3f} to {after:.3f} within at most {step[1]:.3f} s"
            if max(now[0], -now[1]) > rates.most(before, after, now, last) + _ROUNDING:
                yield f"{where}: beyond {rates.acceleration:g} per s"
            if last is not None:
                jerk = rates.most_jerk(before, after, now, last)
                if _turned(before, after, now, last) > jerk * step[1] * (1.0 + 1e-3) + _ROUNDING:
                    yield f"{where}: beyond a jerk of {jerk:g}"
            last = now


Span = tuple[float, float]  # least and greatest acceleration that a step may have meant


@dataclass(frozen=True)
class _Rates:
    """What one axis may do: following a plan, and braking."""

    acceleration: float
    jerk: float
    deceleration: float
    braking_jerk: float

    def most(self, before: float, after: float, now: Span, last: Span | None) -> float:
        """Greatest acceleration of a step; braking that ends may go on for a moment when a plan comes."""
        ends = last is not None and max(now[0], -now[1]) <= max(abs(last[0]), abs(last[1])) and now[0] * last[0] > 0.0
        return max(self.acceleration, self.deceleration) if _slows(before, after) or ends else self.acceleration

    def most_jerk(self, before: float, after: float, now: Span, last: Span) -> float:
        """Greatest change of the acceleration per s; to set off, or to become faster, only that of a plan."""
        sense = before or after
        brakes = min(last[0] * sense, last[1] * sense) < 0.0 or min(now[0] * sense, now[1] * sense) < max(
            last[0] * sense, last[1] * sense
        )
        return max(self.jerk, self.braking_jerk) if brakes else self.jerk


def _linear(rules: Rules) -> _Rates:
    limits, braking = rules.limits, rules.braking
    return _Rates(limits.linear_acceleration, limits.linear_jerk, braking.linear_deceleration, braking.linear_jerk)


def _angular(rules: Rules) -> _Rates:
    limits, braking = rules.limits, rules.braking
    return _Rates(limits.angular_acceleration, limits.angular_jerk, braking.angular_deceleration, braking.angular_jerk)


def _slows(before: float, after: float) -> bool:
    return before * after >= 0.0 and abs(after) <= abs(before)


def _turned(before: float, after: float, now: Span, last: Span) -> float:
    """By how much the acceleration has changed at least, but for what a step that slows down may end at once."""
    if not _slows(before, after):
        return max(now[0] - last[1], last[0] - now[1], 0.0)
    if before < 0.0:
        now, last = (-now[1], -now[0]), (-last[1], -last[0])
    eased = now[0] - last[1] if after != 0.0 else 0.0
    return max(eased, min(last[0], 0.0) - now[1], 0.0)


def _of_speed(command: Command, limits: Limits) -> Iterator[str]:
    v, w = command.linear_x, command.angular_z
    if not (math.isfinite(v) and math.isfinite(w)):
        yield f"command ({v}, {w}) is not finite"
        return
    if not limits.linear_x_min - _ROUNDING <= v <= limits.linear_x_max + _ROUNDING:
        yield f"linear_x {v:.3f} is out of {limits.linear_x_min:g} to {limits.linear_x_max:g} m/s"
    if abs(w) > limits.angular_z_max + _ROUNDING:
        yield f"angular_z {w:.3f} is beyond {limits.angular_z_max:g} rad/s"


def _steps(commands: Sequence[Command], rules: Rules) -> list[tuple[float, float]]:
    """Shortest and longest s that each step may have taken.

    A process that is held up between deciding and sending sends late, far behind the command before, and the next ones
    close behind: each of these stands for more time than lies between them.
    """
    steps, late = [], 0.0  # s, of the command before
    for before, after in itertools.pairwise(commands):
        shortest, longest = _elapsed(before, after)
        behind = longest - rules.period + (late if longest < rules.period / 2.0 else 0.0)
        now = min(max(behind, 0.0), 2.0 * rules.period)
        steps.append((shortest - now - rules.slack, longest + late + rules.slack))
        late = now
    return steps


def _elapsed(before: Command, after: Command) -> tuple[float, float]:
    """Shorter and longer s between two commands, by their stamps and by their arrivals; one clock may have jumped."""
    sent, received = after.sent - before.sent, after.received - before.received
    if sent < 0.0 or abs(sent - received) > _JUMP:
        return received, received
    return min(sent, received), max(sent, received)


def _range(change: float, step: tuple[float, float], rules: Rules) -> tuple[float, float]:
    """Least and greatest acceleration that a change of velocity may have meant."""
    shortest, longest = min(step[0], 2.0 * rules.period), step[1]
    slow = change / longest
    quick = change / shortest if shortest > 0.0 else math.copysign(math.inf, change) if change else 0.0
    return min(slow, quick), max(slow, quick)
