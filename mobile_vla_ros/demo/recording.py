"""What happened in a demonstration, as plain data in simulated time."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..sim.base import Pose2D, Velocity
from ..sim.task import Outcome, Task


class Frame(NamedTuple):
    """A picture of the robot's camera.

    Attributes:
        stamp: s, simulated.
        rgb: uint8 (height, width, 3).
    """

    stamp: float
    rgb: NDArray[np.uint8]


class Motion(NamedTuple):
    """Where the robot is.

    Attributes:
        stamp: s, simulated.
        pose: in the room frame.
        velocity: in the robot's frame.
    """

    stamp: float
    pose: Pose2D
    velocity: Velocity


class Said(NamedTuple):
    """Something that a topic said.

    Attributes:
        stamp: s, simulated.
        text: the words.
    """

    stamp: float
    text: str


class Drive(NamedTuple):
    """A command for the base.

    Attributes:
        stamp: s, simulated.
        velocity: asked for.
    """

    stamp: float
    velocity: Velocity


@dataclass(frozen=True)
class TaskRun:
    """How one instruction was followed.

    Attributes:
        task: what was asked.
        start, end: s, simulated.
        outcome: how it ended.
        distance: m driven.
        turned: rad, sum of all turning, left positive.
    """

    task: Task
    start: float
    end: float
    outcome: Outcome
    distance: float
    turned: float


@dataclass
class Recording:
    """Everything that was heard, each list in order of time."""

    frames: list[Frame] = field(default_factory=list)
    motions: list[Motion] = field(default_factory=list)
    drives: list[Drive] = field(default_factory=list)
    statuses: list[Said] = field(default_factory=list)
    touches: list[Said] = field(default_factory=list)
    instructions: list[Said] = field(default_factory=list)
    runs: list[TaskRun] = field(default_factory=list)


Stamped = TypeVar("Stamped", Frame, Motion, Said, Drive)


def latest(entries: list[Stamped], stamp: float) -> Stamped | None:
    """The newest entry not later than `stamp` (s), None if there is none yet."""
    index = bisect_right(entries, stamp + 1e-9, key=lambda entry: entry.stamp)
    return entries[index - 1] if index else None
