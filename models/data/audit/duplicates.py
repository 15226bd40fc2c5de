"""Episodes that are copies of each other: the same pictures, or the same script of commands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..episode import Episode
from .flags import Flag, Severity
from .motion import Limits, moving
from .neighbours import groups
from .pictures import Sketch
from .statistics import share

POINTS = 48  # that a sequence of commands is resampled to
SAME_COMMANDS = 0.005  # root mean square difference of the way, of the way at the greatest command all along
SAME_LENGTH = 0.02  # of the duration: counts as much as the above
SHORT, STEADY = 2.0, 0.05  # s of motion; standard deviation: shorter and steadier ones are alike by chance
SAME_PICTURES = 2.5  # grey levels, root mean square
PLAIN = 5.0  # grey levels, standard deviation: plain walls look all the same
COPIED = 0.01  # of the episodes: fewer do no harm
SCRIPTED = 0.3  # of the episodes: controlled drives too come to be alike in large sets


@dataclass(frozen=True)
class Duplicates:
    """Groups of sources, largest first.

    Attributes:
        same_commands: whose commands are nearly equal.
        same_pictures: whose pictures are nearly equal, first, middle and last.
    """

    same_commands: tuple[tuple[str, ...], ...]
    same_pictures: tuple[tuple[str, ...], ...]


def find_duplicates(
    episodes: Sequence[Episode], limits: Limits, sketches: Mapping[str, Mapping[str, Sketch]]
) -> Duplicates:
    """Compare all episodes; `sketches` by camera and source, of which every camera's pictures must agree."""
    return Duplicates(_same_commands(episodes, limits), _same_pictures(episodes, sketches))


def duplicate_flags(duplicates: Duplicates, count: int) -> list[Flag]:
    """Complaints about a set of `count` episodes."""
    flags = []
    copies = [source for group in duplicates.same_pictures for source in group]
    if copies:
        flags.append(
            Flag(
                "duplicates",
                Severity.WARNING if share(len(copies), count) >= COPIED else Severity.NOTE,
                tuple(copies),
                f"{len(copies)} episodes look alike from begin to end, in {len(duplicates.same_pictures)} groups",
                "Keep one of each group; at least keep a group on one side of the split, or validation is no test.",
            )
        )
    scripted = [source for group in duplicates.same_commands for source in group]
    repeats = len(scripted) - len(duplicates.same_commands)
    if scripted:
        many = share(repeats, count) >= SCRIPTED
        flags.append(
            Flag(
                "duplicates",
                Severity.WARNING if many else Severity.NOTE,
                tuple(scripted),
                f"{repeats} of {count} episodes repeat the commands of another: {len(duplicates.same_commands)} "
                f"scripts, the most frequent {len(duplicates.same_commands[0])} times",
                "A script that ignores its pictures teaches a policy to: record drives that answer to what is seen.",
            )
        )
    return flags


def _same_commands(episodes: Sequence[Episode], limits: Limits) -> tuple[tuple[str, ...], ...]:
    names = tuple(limits)
    scale = np.array([max(abs(low), abs(high)) or 1.0 for low, high in limits.values()])
    rows = [(episode.source, _commands(episode, names, scale)) for episode in episodes]
    return _named([(source, vector) for source, vector in rows if vector is not None], SAME_COMMANDS)


def _commands(episode: Episode, names: tuple[str, ...], scale: NDArray[np.float64]) -> NDArray[np.float32] | None:
    """The way (integral of the velocities) from the first motion to the last, resampled, and how long that took.

    A way hardly changes when the same keys are pressed a little earlier or later, or sampled at another rate.

    Returns:
        float32 (POINTS * len(names) + 1,); None for commands that are alike by chance.
    """
    rows = np.flatnonzero(moving(episode.actions))
    if len(rows) < 2 or set(names) != set(episode.actions.names):
        return None
    stamps = episode.actions.stamps
    begin, end = stamps[rows[0]], stamps[rows[-1]]
    if end - begin < SHORT:
        return None
    commands = episode.actions.columns(names) / scale
    if commands[rows[0] : rows[-1] + 1].std(axis=0).max() < STEADY:
        return None
    way = np.cumsum(commands[:-1] * np.diff(stamps)[:, None], axis=0)
    times = np.linspace(begin, end, POINTS)
    resampled = np.stack([np.interp(times, stamps[1:], column) for column in way.T])
    shape = (resampled - resampled[:, :1]) / (end - begin)
    weight = np.sqrt(shape.size) * SAME_COMMANDS / SAME_LENGTH
    return np.append(shape.ravel(), np.log(end - begin) * weight).astype(np.float32)


def _same_pictures(
    episodes: Sequence[Episode], sketches: Mapping[str, Mapping[str, Sketch]]
) -> tuple[tuple[str, ...], ...]:
    rows = []
    for episode in episodes:
        seen = [kept[episode.source] for kept in sketches.values() if episode.source in kept]
        # Two that stand still in one place look alike without being copies.
        if not seen or len(seen) < len(sketches) or not moving(episode.actions).any():
            continue
        # Green alone: the same in either order of colours.
        views = [sketch.small[..., 1].astype(np.float32) for sketch in seen]
        if all(float(view.std(axis=(1, 2)).min()) > PLAIN for view in views):
            rows.append((episode.source, np.concatenate([view.ravel() for view in views])))
    return _named(rows, SAME_PICTURES)


def _named(rows: list[tuple[str, NDArray[np.float32]]], radius: float) -> tuple[tuple[str, ...], ...]:
    if len(rows) < 2:
        return ()
    found = groups(np.stack([vector for _, vector in rows]), radius)
    return tuple(tuple(rows[row][0] for row in group) for group in found)
