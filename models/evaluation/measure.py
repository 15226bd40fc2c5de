"""What is counted of a policy's answers to one episode, and of its baselines' to the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .reference import Reference

TURNING = 0.1  # rad/s: below, the sign of a turn means nothing
STOP_THRESHOLD, CONFIRMATIONS = 0.5, 3  # as on the robot: so sure, for so many frames in a row
LINEAR_X, LINEAR_Y, ANGULAR_Z = "linear_x", "linear_y", "angular_z"

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Answers:
    """What somebody says to the frames of an episode.

    Attributes:
        continuous: (t, chunk, k), in the units of the action spec.
        done: bool (t,), whether the task is said to be done; None if nothing is said.
    """

    continuous: NDArray[np.float32]
    done: NDArray[np.bool_] | None


@dataclass(frozen=True)
class Errors:
    """Sums over the frames of an episode.

    Attributes:
        absolute, squared: (k, chunk), in the units of the action spec.
        count: (chunk,), frames whose command is known.
        sign_agrees, sign_count: frames that turn at 0.1 rad/s or more, and those of them in which the answer turns to
            the same side; of the first row.
        path, path_end: m, distances between the two integrated paths, mean over the chunk and at its end.
        paths: frames whose whole chunk is known.
        stop: (2, 2) frames by [done, said to be].
        stop_delay: s from the moment the task was done until it had been said three times in a row; None if it was
            not done, or never said so.
        stops: whether the task was done in this episode, and somebody says.
    """

    absolute: Array
    squared: Array
    count: Array
    sign_agrees: float
    sign_count: float
    path: float
    path_end: float
    paths: float
    stop: Array
    stop_delay: float | None
    stops: bool


def measure(
    answers: Answers, reference: Reference, stamps: NDArray[np.float64], names: Sequence[str], dt: float
) -> Errors:
    """Hold answers against the recorded commands.

    Args:
        answers: for each frame.
        reference: of the same frames.
        stamps: float64 (t,), seconds.
        names: of the continuous actions.
        dt: s between rows.
    """
    known = reference.known
    error = np.where(known[..., None], answers.continuous.astype(np.float64) - reference.continuous, 0.0)
    agrees = turning = path = path_end = paths = 0.0
    if ANGULAR_Z in names:
        column = names.index(ANGULAR_Z)
        recorded, said = reference.continuous[:, 0, column], answers.continuous[:, 0, column]
        turns = known[:, 0] & (np.abs(recorded) >= TURNING)
        turning, agrees = float(turns.sum()), float((turns & (np.sign(recorded) == np.sign(said))).sum())
    whole = known.all(axis=1)
    if drives(names) and whole.any():
        apart = np.linalg.norm(
            integrate(answers.continuous[whole], names, dt) - integrate(reference.continuous[whole], names, dt), axis=-1
        )
        path, path_end, paths = float(apart.mean(axis=1).sum()), float(apart[:, -1].sum()), float(whole.sum())
    stop, delay, stops = np.zeros((2, 2)), None, False
    if answers.done is not None:
        np.add.at(stop, (reference.done.astype(int), answers.done.astype(int)), 1.0)
        if reference.done_since is not None:
            stops = True
            said_at = confirmed(answers.done)
            delay = None if said_at is None else float(stamps[said_at] - reference.done_since)
    return Errors(
        absolute=np.abs(error).sum(axis=0).T,
        squared=(error**2).sum(axis=0).T,
        count=known.sum(axis=0).astype(np.float64),
        sign_agrees=agrees,
        sign_count=turning,
        path=path,
        path_end=path_end,
        paths=paths,
        stop=stop,
        stop_delay=delay,
        stops=stops,
    )


def drives(names: Sequence[str]) -> bool:
    """Whether these actions move a base."""
    return LINEAR_X in names and ANGULAR_Z in names


def integrate(chunk: NDArray[np.float32], names: Sequence[str], dt: float) -> Array:
    """Places (m) that velocities lead to: (n, chunk, k) -> (n, chunk, 2), from the origin looking along x.

    Each row holds for dt, on an arc.
    """
    columns = {name: chunk[..., row].astype(np.float64) for row, name in enumerate(names)}
    turned = np.cumsum(columns[ANGULAR_Z] * dt, axis=1)
    middle = turned - columns[ANGULAR_Z] * dt / 2
    forward, left = columns[LINEAR_X] * dt, columns.get(LINEAR_Y, np.zeros_like(turned)) * dt
    x = np.cumsum(forward * np.cos(middle) - left * np.sin(middle), axis=1)
    y = np.cumsum(forward * np.sin(middle) + left * np.cos(middle), axis=1)
    return np.stack([x, y], axis=-1)


def confirmed(done: NDArray[np.bool_]) -> int | None:
    """Row of the frame at which it had been said three times in a row; None if never."""
    run = 0
    for row, said in enumerate(done.tolist()):
        run = run + 1 if said else 0
        if run == CONFIRMATIONS:
            return row
    return None
