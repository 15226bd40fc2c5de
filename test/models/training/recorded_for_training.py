"""Recordings in memory, and small policies for them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from tiny import tiny_document, tiny_policy

from mobile_vla_models.configuration import PolicyConfig
from mobile_vla_models.data.episode import Episode, Signal


class Noise:
    """Pictures of noise that differ from row to row."""

    def __init__(self, count: int, seed: int) -> None:
        self.stamps = np.arange(count) * 0.1
        self.received = None
        self._seed = seed

    def read(self, rows: Any) -> list[NDArray[np.uint8]]:
        return [
            np.random.default_rng([self._seed, int(row)]).integers(0, 256, (12, 16, 3), dtype=np.uint8) for row in rows
        ]


def episode(number: int, sentence: str, frames: int = 20) -> Episode:
    """Two seconds: a turn that becomes faster, then nothing."""
    at = np.arange(frames) * 0.1
    moves = at < 0.1 * frames / 2
    values = np.stack([0.2 * moves, (0.1 + 0.3 * at) * moves], axis=1).astype(np.float32)
    actions = Signal(("linear_x", "angular_z"), at, values, None)
    return Episode(f"run{number}#0", sentence, {"front": Noise(frames, number)}, actions, None, 0.0, 0.1 * frames)


def config(**changes: Any) -> PolicyConfig:
    return PolicyConfig.model_validate({**tiny_document(), **changes})


EPISODES = (episode(0, "turn left"), episode(1, "go to the red box"), episode(2, "stop"))
policy = tiny_policy
