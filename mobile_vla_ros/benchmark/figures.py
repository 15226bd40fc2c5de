"""What was heard of a node, and the figures that it comes to. No ROS here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from mobile_vla_models.benchmark.policy.quantiles import Quantiles


@dataclass(frozen=True)
class Command:
    """A command as it was heard; s, on the clock of the frames.

    Attributes:
        stamp: when the node published it.
        arrived: when it was heard.
    """

    stamp: float
    arrived: float


@dataclass(frozen=True)
class Step:
    """A plan that the node began to follow; s, on the clock of the frames.

    Attributes:
        frame: stamp of the frame that it was made of.
        received, begun, decoded, planned: when the node had the frame, the worker took it, it was a picture, and the
            policy had answered.
        command: stamp of the first command that used it.
    """

    frame: float
    received: float
    begun: float
    decoded: float
    planned: float
    command: float


@dataclass(frozen=True)
class PeriodError:
    """Milliseconds by which the time between two commands differed from the period, whether longer or shorter."""

    p50: float
    p99: float
    largest: float


@dataclass(frozen=True)
class Figures:
    """Times of a node in milliseconds.

    Attributes:
        steps: plans that were followed.
        rate: Hz, of them.
        policy: the policy's own time.
        overhead: from a frame's stamp until the first command that uses it is sent, less the policy's own time.
        stages: of which it consists.
        delivery: from there until the command is heard.
        sent: how evenly the timer's commands were sent, by their stamps.
        heard: how evenly they arrived.
        longest: between two commands of any kind, as they arrived.
    """

    steps: int
    rate: float
    policy: Quantiles
    overhead: Quantiles
    stages: dict[str, Quantiles]
    delivery: Quantiles
    sent: PeriodError
    heard: PeriodError
    longest: float

    @classmethod
    def of(cls, steps: Sequence[Step], commands: Sequence[Command], control_hz: float) -> Figures:
        """Of what was heard.

        A step whose command was not heard does not count. The timer's commands are those that no step was the cause
        of; only between them is a period to be kept.

        Args:
            steps: in their order.
            commands: in the order of arrival.
            control_hz: of the timer.

        Raises:
            ValueError: fewer than two steps with a command, or than three commands of the timer.
        """
        by_stamp = {command.stamp: command for command in commands}
        heard = [(step, by_stamp[step.command]) for step in steps if step.command in by_stamp]
        caused = {step.command for step in steps}
        timed = [command for command in commands if command.stamp not in caused]
        if len(heard) < 2 or len(timed) < 3:
            raise ValueError(f"heard {len(heard)} steps and {len(timed)} commands of the timer: too few")
        stages = {
            "frame to node": [step.received - step.frame for step, _ in heard],
            "wait for the worker": [step.begun - step.received for step, _ in heard],
            "decoding": [step.decoded - step.begun for step, _ in heard],
            "plan to command": [step.command - step.planned for step, _ in heard],
        }
        span = heard[-1][0].planned - heard[0][0].planned
        return cls(
            steps=len(heard),
            rate=(len(heard) - 1) / span,
            policy=Quantiles.of([step.planned - step.decoded for step, _ in heard]),
            overhead=Quantiles.of(np.sum(list(stages.values()), axis=0).tolist()),
            stages={name: Quantiles.of(times) for name, times in stages.items()},
            delivery=Quantiles.of([command.arrived - step.command for step, command in heard]),
            sent=period_error([command.stamp for command in timed], 1.0 / control_hz),
            heard=period_error([command.arrived for command in timed], 1.0 / control_hz),
            longest=1e3 * max(b.arrived - a.arrived for a, b in pairwise(commands)),
        )


def period_error(times: Sequence[float], period: float) -> PeriodError:
    """How evenly something happened, whose times (s) should be `period` s apart."""
    errors = np.abs(np.diff(times) - period) * 1e3
    p50, p99 = np.percentile(errors, (50, 99)).tolist()
    return PeriodError(p50, p99, float(errors.max()))
