"""Episodes at the policy's dt: which frames it would see, and for each the commands that followed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..action import STOP
from ..configuration import PolicyConfig
from ..errors import DataError
from .episode import Episode, Pictures, Signal
from .rows import measured, nearest

# Stamps on a grid must not be lost to rounding.
_GRACE = 1e-6  # s
# Commands further apart than this many steps, or of their own usual periods, have a gap between them.
_GAP = 1.5
# A camera this much slower than dt cannot give a frame per step.
_SLOWEST = 1.1


@dataclass(frozen=True)
class ChunkLabels:
    """What was commanded after each of t frames; row k of a chunk is wanted k * dt after the frame.

    Attributes:
        continuous: float32 (t, chunk, k), in the units of the action spec.
        binary: float32 (t, chunk, m), 0 or 1.
        mask: bool (t, chunk), False where nothing is known: past the episode's end, and in gaps of the commands.
    """

    continuous: NDArray[np.float32]
    binary: NDArray[np.float32]
    mask: NDArray[np.bool_]


@dataclass(frozen=True)
class Timeline:
    """An episode as a policy would have lived it: t frames, one per dt.

    Attributes:
        episode: whose pictures they are.
        rows: int64 (t, cameras), frames of the policy's cameras.
        stamps: float64 (t,), seconds, of the first camera.
        starts: int64 (t,), for each frame the first one of its run; a gap of a camera begins a new run.
        state: float32 (t, S), newest measurement at each frame, in the units of the policy.
        labels: of the frames.
    """

    episode: Episode
    rows: NDArray[np.int64]
    stamps: NDArray[np.float64]
    starts: NDArray[np.int64]
    state: NDArray[np.float32]
    labels: ChunkLabels

    def __len__(self) -> int:
        return len(self.stamps)


def gate(stamps: NDArray[np.float64], dt: float) -> NDArray[np.int64]:
    """Rows of the frames that a policy of step `dt` would see: those that the robot's gate lets through."""
    return _gate(stamps, dt)[0]


def lay_out(episode: Episode, config: PolicyConfig) -> Timeline:
    """Look up a policy's frames, states and labels in an episode; no picture is decoded.

    The history of a frame never reaches over a gap: where a camera had no frame within half its period of when one was
    due, a new run begins, as if the policy had been reset there.

    Raises:
        DataError: a camera, action or state that the episode lacks, or a camera that is slower than dt.
    """
    cameras = [_camera(episode, name, config.dt) for name in config.cameras]
    first, first_period = cameras[0]
    rows, late = _gate(first.stamps, config.dt)
    stamps = first.stamps[rows]
    breaks = np.abs(late) > first_period / 2 + _GRACE
    columns, present = [rows], np.ones(len(rows), dtype=bool)
    for other, period in cameras[1:]:
        found = nearest(other.stamps, stamps)
        columns.append(found)
        present &= np.abs(other.stamps[found] - stamps) <= period / 2 + _GRACE
    # A frame without its companions is none, and the next one begins anew.
    breaks |= ~np.concatenate([[True], present[:-1]])
    kept = np.flatnonzero(present)
    begins = breaks[kept]
    begins[:1] = True
    starts = np.maximum.accumulate(np.where(begins, np.arange(len(kept)), 0))
    return Timeline(
        episode,
        np.stack(columns, axis=1)[kept],
        stamps[kept],
        starts.astype(np.int64),
        _state(episode, stamps[kept], config),
        label_chunks(episode, stamps[kept], config),
    )


def label_chunks(episode: Episode, stamps: NDArray[np.float64], config: PolicyConfig) -> ChunkLabels:
    """Interpolate, for frames with these stamps (s), the commands of the next `chunk` steps of `dt`.

    `stop` is 1 from when the task is done on; other binary actions are columns of the commands, in force until the
    next. What lies past the end of the episode or in a gap of its commands is masked: nobody knows it.

    Raises:
        DataError: the episode lacks an action, or a binary one is neither 0 nor 1.
    """
    actions = episode.actions
    times = stamps[:, None] + np.arange(config.chunk) * config.dt
    values = _columns(episode, actions, [action.name for action in config.action.continuous])
    flat = times.ravel()
    continuous = np.stack([np.interp(flat, actions.stamps, column) for column in values.T], axis=1)
    binary = np.stack([_binary(episode, name, flat) for name in config.action.binary] or [flat[:0]], axis=1)
    return ChunkLabels(
        continuous.reshape(*times.shape, -1).astype(np.float32),
        binary.reshape(*times.shape, len(config.action.binary)).astype(np.float32),
        (_known(actions, flat, config.dt) & (flat < episode.end)).reshape(times.shape),
    )


def history(starts: NDArray[np.int64], last: NDArray[np.int64], window: int) -> NDArray[np.int64]:
    """The frames of the windows that end at `last`: int64 (count, window), left-aligned, then filled with -1.

    A run's first frames have a short history, as on the robot.

    Args:
        starts: for each frame the first of its run.
        last: newest frame of each window.
        window: frames at most.
    """
    rows = np.maximum(starts[last], last - window + 1)[:, None] + np.arange(window)
    return np.asarray(np.where(rows <= last[:, None], rows, -1), dtype=np.int64)


def counted(
    starts: NDArray[np.int64], rows: NDArray[np.int64], mask: NDArray[np.bool_], *, newest_only: bool
) -> NDArray[np.bool_]:
    """Which entries of windows count: bool (count, window, chunk).

    In a window that begins within a run only the newest frame's output is one that the robot would ever use; in one
    that begins with its run each is, since the history grows from there.

    Args:
        starts: for each frame the first of its run.
        rows: windows, as `history` gives them.
        mask: (t, chunk), of the labels.
        newest_only: for policies that answer their newest frame only.
    """
    filled = rows >= 0
    newest = np.arange(rows.shape[1]) == filled.sum(axis=1, keepdims=True) - 1
    grows = (starts[rows[:, 0]] == rows[:, 0])[:, None] & (not newest_only)
    return np.asarray((filled & (newest | grows))[..., None] & mask[np.maximum(rows, 0)])


def _gate(stamps: NDArray[np.float64], dt: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Rows that are let through, and how late each was (s): the rule of the robot's gate, frame by frame."""
    rows: list[int] = []
    late: list[float] = []
    due, last = -np.inf, 0.0
    for row, stamp in enumerate(stamps.tolist()):
        interval = min(stamp - last, dt)
        last = stamp
        # Of two frames about a due time the nearer one: this, if less than half an interval is missing.
        if stamp < due - interval / 2:
            continue
        late.append(stamp - due if rows else 0.0)
        rows.append(row)
        # Due times lie on a grid, so that the mean rate is 1 / dt; after a gap it begins anew.
        due = (due if stamp < due + dt else stamp) + dt
    return np.array(rows, dtype=np.int64), np.array(late, dtype=np.float64)


def _camera(episode: Episode, name: str, dt: float) -> tuple[Pictures, float]:
    if name not in episode.cameras:
        raise DataError(f"{episode.source} has no camera {name!r}; it has {', '.join(episode.cameras)}")
    pictures = episode.cameras[name]
    period = float(np.median(np.diff(pictures.stamps))) if len(pictures.stamps) > 1 else dt
    if period > _SLOWEST * dt:
        raise DataError(
            f"{episode.source}: camera {name!r} has a frame every {period:.3f} s, the policy takes one every {dt:g} s"
        )
    return pictures, period


def _columns(episode: Episode, signal: Signal, names: Sequence[str]) -> NDArray[np.float32]:
    try:
        return signal.columns(names)
    except DataError as error:
        raise DataError(f"{episode.source}: {error}") from error


def _state(episode: Episode, stamps: NDArray[np.float64], config: PolicyConfig) -> NDArray[np.float32]:
    names = [dimension.name for dimension in config.state]
    if not names:
        return np.zeros((len(stamps), 0), dtype=np.float32)
    if episode.odometry is None:
        raise DataError(f"{episode.source} has no odometry, the policy takes a state of {', '.join(names)}")
    return _columns(episode, episode.odometry, names)[measured(episode.odometry, stamps)]


def _binary(episode: Episode, name: str, times: NDArray[np.float64]) -> NDArray[np.float64]:
    if name == STOP:
        done = episode.done_since
        return (times >= done - _GRACE).astype(np.float64) * (done < episode.end)
    column = _columns(episode, episode.actions, [name])[:, 0]
    odd = column[(column != 0.0) & (column != 1.0)]
    if len(odd):
        raise DataError(f"{episode.source}: the binary action {name} is {odd[0]}, expected 0 or 1")
    return column[measured(episode.actions, times + _GRACE)].astype(np.float64)


def _known(signal: Signal, times: NDArray[np.float64], dt: float) -> NDArray[np.bool_]:
    """Whether a signal's values about `times` are close enough to be interpolated, or to be held at its ends."""
    stamps = signal.stamps
    if not len(stamps):
        return np.zeros(times.shape, dtype=bool)
    period = float(np.median(np.diff(stamps))) if len(stamps) > 1 else dt
    # Past an end there is one neighbour: it stands in for the other, and counts by its distance.
    before = stamps[np.maximum(np.searchsorted(stamps, times, side="right") - 1, 0)]
    behind = stamps[np.minimum(np.searchsorted(stamps, times), len(stamps) - 1)]
    apart = np.maximum(behind, times) - np.minimum(before, times)
    return np.asarray(apart <= _GAP * max(period, dt) + _GRACE)
