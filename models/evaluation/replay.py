"""A policy run over recorded frames as it would run on the robot: one recurrent step each dt, by stamp."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..action import STOP
from ..configuration import PolicyConfig
from ..data.episode import Episode, Pictures
from ..data.rows import measured
from ..data.windows import gate
from ..errors import DataError
from ..golden import Stepper
from ..preprocessing import resize

GAP = 3.0  # in dt: frames further apart are not one history
_AT_ONCE = 32  # frames decoded together


@dataclass(frozen=True)
class Frames:
    """What a policy would have been given in an episode.

    Attributes:
        stamps: float64 (t,), seconds, of the first camera.
        pictures: by camera, uint8 (t, s, s, 3), in the policy's size.
        state: float32 (t, S); None if the policy takes none.
    """

    stamps: NDArray[np.float64]
    pictures: dict[str, NDArray[np.uint8]]
    state: NDArray[np.float32] | None


@dataclass(frozen=True)
class Replay:
    """What a policy answered.

    Attributes:
        continuous: float32 (t, chunk, k), in the units of the action spec.
        stop: float32 (t, chunk), probability that the task is done; None if the policy does not say.
    """

    continuous: NDArray[np.float32]
    stop: NDArray[np.float32] | None


def read_frames(episode: Episode, config: PolicyConfig) -> Frames:
    """Decode the frames that the policy would have been given, each camera's newest one.

    Raises:
        DataError: a camera or a state of the policy was not recorded, or a file cannot be read.
    """
    missing = [name for name in config.cameras if name not in episode.cameras]
    if missing:
        raise DataError(f"{episode.source}: no camera {', '.join(missing)} among {', '.join(episode.cameras)}")
    first = episode.cameras[config.cameras[0]]
    rows = gate(first.stamps, config.dt)
    stamps = first.stamps[rows]
    pictures = {}
    for name in config.cameras:
        camera = episode.cameras[name]
        newest = np.maximum(np.searchsorted(camera.stamps, stamps, side="right") - 1, 0)
        pictures[name] = _read(camera, rows if name == config.cameras[0] else newest, config)
    return Frames(stamps, pictures, _state(episode, stamps, config))


def replay(policy: Stepper, frames: Frames, instruction: str) -> Replay:
    """Run a policy over frames, one call of `step` each; its history begins anew after a gap.

    Raises:
        ValueError: the policy refuses the instruction.
    """
    first, *others = policy.config.cameras
    continuous: list[NDArray[np.float32]] = []
    stops: list[NDArray[np.float32]] = []
    for row, stamp in enumerate(frames.stamps):
        if row == 0 or stamp - frames.stamps[row - 1] > GAP * policy.config.dt:
            policy.reset()
        chunk = policy.step(
            frames.pictures[first][row],
            instruction,
            None if frames.state is None else frames.state[row],
            {name: frames.pictures[name][row] for name in others},
        )
        continuous.append(chunk.continuous)
        if STOP in chunk.binary_names:
            stops.append(chunk.stop)
    policy.reset()
    return Replay(np.stack(continuous), np.stack(stops) if stops else None)


def refusal(policy: Stepper, frames: Frames, instruction: str) -> str | None:
    """Why the policy refuses to hear a sentence; None if it does not."""
    try:
        replay(policy, Frames(frames.stamps[:1], frames.pictures, frames.state), instruction)
    except ValueError as error:
        return str(error)
    return None


def _read(camera: Pictures, rows: NDArray[np.int64], config: PolicyConfig) -> NDArray[np.uint8]:
    # Kept in the policy's size: a long episode would not fit into memory as it was stored.
    parts = (camera.read(rows[begin : begin + _AT_ONCE]) for begin in range(0, len(rows), _AT_ONCE))
    return np.stack([resize(frame, config.image) for part in parts for frame in part])


def _state(episode: Episode, stamps: NDArray[np.float64], config: PolicyConfig) -> NDArray[np.float32] | None:
    names = [dimension.name for dimension in config.state]
    if not names:
        return None
    if episode.odometry is None:
        raise DataError(f"{episode.source}: no odometry, which the policy takes its state ({', '.join(names)}) from")
    return episode.odometry.columns(names)[measured(episode.odometry, stamps)]
