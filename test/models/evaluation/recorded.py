"""Episodes in memory whose pictures hold the number of their frame, and policies that read it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tiny import tiny_document

from mobile_vla_models.action import ActionChunk
from mobile_vla_models.configuration import PolicyConfig
from mobile_vla_models.data.episode import Episode, Signal

CONFIG = PolicyConfig.model_validate(tiny_document())
NAMES = ("linear_x", "angular_z")
SIZE = CONFIG.image.size
STEP = 0.05  # s between commands


@dataclass(frozen=True)
class Numbered:
    """Frames of one value each: their number times 4, and the episode's in the second channel."""

    stamps: NDArray[np.float64]
    episode: int
    received: NDArray[np.float64] | None = None

    def read(self, rows: Sequence[int] | NDArray[np.int64]) -> list[NDArray[np.uint8]]:
        return [np.full((24, 32, 3), (4 * row, self.episode, 0), np.uint8) for row in np.asarray(rows).tolist()]


def recorded(
    number: int = 0,
    instruction: str = "go to the red box",
    turn: float = 0.5,
    seconds: float = 4.0,
    finished: bool = True,
    begin: float = 100.0,
) -> Episode:
    """0.3 m/s, and a turn that grows to `turn` rad/s; stands for the last 1.2 s if finished. A frame every 0.1 s."""
    stamps = begin + np.arange(0.0, seconds, STEP)
    moving = stamps - begin < seconds - 1.2 if finished else np.ones(len(stamps), bool)
    share = np.clip((stamps - begin) / 1.0, 0.1, 1.0)
    values = np.where(moving[:, None], np.stack([np.full(len(stamps), 0.3), turn * share], axis=1), 0.0)
    camera = Numbered(begin + np.arange(0.0, seconds - 1e-9, 0.1), number)
    actions = Signal(NAMES, stamps, values.astype(np.float32), None)
    return Episode(f"room{number}#0", instruction, {"front": camera}, actions, None, begin, begin + seconds)


class Says:
    """Answers by the number of the frame in the recording, of the episode, and by the sentence.

    Args:
        answer: (frame, episode, instruction) -> velocity (chunk, 2) and stop (chunk,).
    """

    config = CONFIG

    def __init__(self, answer: Callable[[int, int, str], tuple[NDArray[np.float32], NDArray[np.float32]]]) -> None:
        self._answer = answer
        self.resets = 0

    def reset(self) -> None:
        self.resets += 1

    def step(
        self,
        rgb: NDArray[np.uint8],
        instruction: str,
        state: NDArray[np.float32] | None = None,
        extra_cameras: Mapping[str, NDArray[np.uint8]] | None = None,
    ) -> ActionChunk:
        assert rgb.shape == (SIZE, SIZE, 3)
        if not instruction.strip():
            raise ValueError("an instruction must not be empty")
        velocity, stop = self._answer(int(rgb[0, 0, 0]) // 4, int(rgb[0, 0, 1]), instruction)
        return ActionChunk.of_base(velocity.astype(np.float32), stop.astype(np.float32), CONFIG.dt)


def constant(linear_x: float, angular_z: float, stop: float) -> Says:
    velocity = np.tile(np.array([linear_x, angular_z], np.float32), (CONFIG.chunk, 1))
    return Says(lambda frame, episode, instruction: (velocity, np.full(CONFIG.chunk, stop, np.float32)))


def expert(episodes: Sequence[Episode]) -> Says:
    """Says what was commanded, and knows when it is done, whatever it is told."""

    def answer(frame: int, number: int, instruction: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        episode = episodes[number]
        at = episode.cameras["front"].stamps[frame] + np.arange(CONFIG.chunk) * CONFIG.dt
        given = episode.actions
        velocity = np.stack([np.interp(at, given.stamps, column) for column in given.values.T], axis=1)
        velocity[at > given.stamps[-1] + 1e-6] = 0.0 if episode.done_since < episode.end else 9.0
        done = (at >= episode.done_since - 1e-6) & (episode.done_since < episode.end)
        return velocity, done

    return Says(answer)
