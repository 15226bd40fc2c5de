"""Episodes at the policy's dt: for every frame the chunk of commands that followed, and whether the task was done."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..configuration import PolicyConfig
from .episode import Episode


@dataclass(frozen=True)
class ChunkLabels:
    """Labels of an episode's frames.

    Attributes:
        velocity: float32 (t, chunk, 2), m/s and rad/s; row k is the command in force at the frame's stamp + k * dt.
        stop: float32 (t, chunk), 1 where the task is done.
        mask: bool (t, chunk), False past the end of the episode.
    """

    velocity: NDArray[np.float32]
    stop: NDArray[np.float32]
    mask: NDArray[np.bool_]


def label_chunks(episode: Episode, config: PolicyConfig) -> ChunkLabels:
    """Look up, for each frame, the commands of the next `chunk` steps of `dt`.

    Past the end of an episode whose task is done, the robot goes on standing still: those entries count, with zero
    velocity and stop 1. Past the end of an interrupted one nothing is known: they are masked out.
    """
    times = episode.stamps[:, None] + np.arange(config.chunk) * config.dt
    # The command in force at t is the first one issued from t on (the one that answers the frame seen at t).
    index = np.searchsorted(episode.command_stamps, times - 1e-6)
    inside = index < len(episode.commands)
    velocity = episode.commands[np.minimum(index, len(episode.commands) - 1)]
    answered = np.where(inside, episode.command_stamps[np.minimum(index, len(episode.commands) - 1)], episode.end)
    done_since = episode.done_since
    stop = (answered >= done_since) & (done_since < episode.end)
    velocity = np.where((inside | ~stop)[..., None], velocity, 0.0).astype(np.float32)
    return ChunkLabels(velocity, stop.astype(np.float32), inside | stop)
