"""The steps of v and w between successive commands, held against the acceleration that the limits allow."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from ..control import BaseLimits, DriveState, Limits
from ..faults.bounds import CLOCK_SLACK, Command
from ..sim.pilot import CONTROL_HZ

PERIOD = 1.0 / CONTROL_HZ  # s
_MOST_LATE = 2.0 * PERIOD  # s: one step of a ramp takes two periods at most
_SAID_WITHIN = (-0.1, 0.25)  # s around a command in which ~/status says why it is what it is
_ROUNDING = 1e-6  # s
_AT_ONCE = 0.005  # s that a zero lacks which is no end of a ramp

Said = tuple[float, str]  # s, steady clock, and what ~/status said


@dataclass(frozen=True)
class Step:
    """A change of one velocity from one command to the next.

    Attributes:
        change: m/s or rad/s, without its sign.
        allowed: the same, that the limit of acceleration allows for the time between their stamps.
    """

    change: float = 0.0
    allowed: float = 0.0


@dataclass(frozen=True)
class Steps:
    """What came of the commands of a run, or of several.

    Attributes:
        commands: number of them.
        joins: of them, those with which a new plan took over.
        linear_x: the largest step (m/s), but for those of `stops`.
        angular_z: the same (rad/s).
        short: s by which the time between stamps falls short, at most, of what the steps between them need.
        beyond: each command that no delay between deciding and stamping explains, in words.
        stops: what `~/status` said of each zero that came at once.
    """

    commands: int
    joins: int
    linear_x: Step
    angular_z: Step
    short: float
    beyond: tuple[str, ...]
    stops: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def look_at_steps(
    commands: Sequence[Command], said: Sequence[Said], planned: Collection[float], limits: Limits
) -> Steps:
    """Look at every step of a run.

    A command is stamped a little after the moment for which it was decided: by up to CLOCK_SLACK, and by more if the
    process was held up in between, which then shows in the time since the command before. So a step may need more
    time than lies between the stamps. What is lacking is summed up over successive steps: a delay explains one of
    them, but no ramp that is too steep.

    Args:
        commands: in the order of sending.
        said: by `~/status`.
        planned: stamps of the commands with which a new plan took over, as `~/provenance` says.
        limits: of the motion.
    """
    accelerations, braking = (limits.linear_acceleration, limits.angular_acceleration), BaseLimits().braking(limits)
    decelerations = (braking.linear_deceleration, braking.angular_deceleration)
    largest_v, largest_w = Step(), Step()
    short = lacking = held_up = 0.0  # s; the last: how much later than CLOCK_SLACK the command may have been stamped
    beyond: list[str] = []
    stops: list[str] = []
    for before, after in pairwise(commands):
        elapsed = after.sent - before.sent
        changes = (abs(after.linear_x - before.linear_x), abs(after.angular_z - before.angular_z))
        values = ((before.linear_x, after.linear_x), (before.angular_z, after.angular_z))
        rates = [
            max(speeding_up, slowing_down) if one * other >= 0.0 and abs(other) < abs(one) else speeding_up
            for (one, other), speeding_up, slowing_down in zip(values, accelerations, decelerations, strict=True)
        ]
        needed = max(change / rate for change, rate in zip(changes, rates, strict=True))
        held_up = min(max(elapsed - PERIOD, 0.0) + (held_up if elapsed < PERIOD / 2.0 else 0.0), _MOST_LATE)
        lacking = max(lacking + needed - elapsed, -held_up)
        why = _stop_said(said, after.received) if after.is_zero and lacking > _AT_ONCE else ""
        if why:
            stops.append(why)
            lacking = 0.0
            continue
        short = max(short, lacking)
        if lacking > CLOCK_SLACK + _ROUNDING:
            beyond.append(
                f"({before.linear_x:.3f}, {before.angular_z:.3f}) to ({after.linear_x:.3f}, {after.angular_z:.3f}) "
                f"within {elapsed:.3f} s: needs {needed:.3f} s"
            )
            lacking = 0.0
        largest_v = max(largest_v, Step(changes[0], accelerations[0] * elapsed), key=_change)
        largest_w = max(largest_w, Step(changes[1], accelerations[1] * elapsed), key=_change)
    joins = sum(command.sent in planned for command in commands)
    return Steps(len(commands), joins, largest_v, largest_w, short, tuple(beyond), tuple(stops))


def together(several: Iterable[Steps]) -> Steps:
    """Those of several runs: sums, and the largest of all.

    Raises:
        ValueError: there are none.
    """
    runs = list(several)
    if not runs:
        raise ValueError("there are no runs")
    return Steps(
        commands=sum(run.commands for run in runs),
        joins=sum(run.joins for run in runs),
        linear_x=max((run.linear_x for run in runs), key=_change),
        angular_z=max((run.angular_z for run in runs), key=_change),
        short=max(run.short for run in runs),
        beyond=tuple(text for run in runs for text in run.beyond),
        stops=tuple(text for run in runs for text in run.stops),
    )


def _change(step: Step) -> float:
    return step.change


def _stop_said(said: Sequence[Said], received: float) -> str:
    """What `~/status` said of a fault when a command was received (s, steady clock); empty: nothing."""
    first, last = (received + offset for offset in _SAID_WITHIN)
    near = (text for when, text in said if first <= when <= last)
    return next((text for text in near if text.startswith(f"{DriveState.STOPPED.value}:")), "")
