"""What was commanded in an episode, at the times that a policy speaks of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..configuration import PolicyConfig
from ..data.episode import Episode
from ..data.windows import label_chunks

_GRACE = 1e-6  # s: stamps on one grid must not be told apart by rounding


@dataclass(frozen=True)
class Reference:
    """The recorded commands of an episode's frames.

    Attributes:
        continuous: float32 (t, chunk, k), in the units of the action spec; row j is for the frame's stamp + j * dt.
        known: bool (t, chunk), False in a silence of the commands and past the end of an unfinished episode.
        done: bool (t,), the task was done when the frame was taken.
        last: float32 (t, k), the command one step before the frame; zero before the first command.
        done_since: s; None if the episode ended before the task was done.
    """

    continuous: NDArray[np.float32]
    known: NDArray[np.bool_]
    done: NDArray[np.bool_]
    last: NDArray[np.float32]
    done_since: float | None


def look_up(episode: Episode, stamps: NDArray[np.float64], config: PolicyConfig) -> Reference:
    """The commands that a policy would be trained to give for frames with these stamps (s).

    But past the end of an episode whose task is done the robot goes on standing: there the command is zero, and known.

    Raises:
        DataError: an action of the spec was not recorded.
    """
    labels = label_chunks(episode, stamps, config)
    finished = episode.done_since < episode.end
    stands = finished & (stamps[:, None] + np.arange(config.chunk) * config.dt >= episode.end)
    commands, given = episode.actions, stamps - config.dt
    columns = commands.columns([action.name for action in config.action.continuous])
    one_before = np.stack([np.interp(given, commands.stamps, column) for column in columns.T], axis=-1)
    began = given >= commands.stamps[0] - _GRACE
    return Reference(
        continuous=np.where(stands[..., None], np.float32(0.0), labels.continuous),
        known=stands | labels.mask,
        done=(stamps >= episode.done_since - _GRACE) & finished,
        last=np.where(began[:, None], one_before, 0.0).astype(np.float32),
        done_since=episode.done_since if finished else None,
    )
