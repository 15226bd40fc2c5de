"""What was commanded in an episode, at the times that a policy speaks of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..configuration import PolicyConfig
from ..data.episode import Episode

GAP = 3.0  # in median periods of the commands: what lies in a longer silence is not known
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
    """Interpolate an episode's commands for frames with these stamps (s).

    Past the end of an episode whose task is done the robot goes on standing: there the command is zero, and known.

    Raises:
        DataError: an action of the spec was not recorded.
    """
    commands = episode.actions.columns([action.name for action in config.action.continuous])
    given = episode.actions.stamps
    times = stamps[:, None] + np.arange(config.chunk) * config.dt
    finished = episode.done_since < episode.end
    longest = GAP * float(np.median(np.diff(given))) if len(given) > 1 else 0.0
    after = np.searchsorted(given, times - _GRACE)
    before = np.maximum(after - 1, 0)
    at_hand = np.minimum(after, len(given) - 1)
    on_one = np.abs(given[at_hand] - times) <= _GRACE
    silent = np.where(after == 0, given[0] - times, given[at_hand] - given[before]) > longest
    past = after == len(given)
    still = finished & past
    values = np.where(still[..., None], 0.0, _interpolated(times, given, commands))
    one_before = _interpolated(stamps - config.dt, given, commands)
    began = stamps - config.dt >= given[0] - _GRACE
    return Reference(
        continuous=values.astype(np.float32),
        known=still | (~past & (on_one | ~silent)),
        done=(stamps >= episode.done_since - _GRACE) & finished,
        last=np.where(began[:, None], one_before, 0.0).astype(np.float32),
        done_since=episode.done_since if finished else None,
    )


def _interpolated(
    times: NDArray[np.float64], stamps: NDArray[np.float64], values: NDArray[np.float32]
) -> NDArray[np.float64]:
    return np.stack([np.interp(times, stamps, column) for column in values.T], axis=-1)
