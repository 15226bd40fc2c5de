"""One recorded run: frames, commands and the instruction they answer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Episode:
    """A run under one instruction, in true time and SI units.

    Attributes:
        source: where it was read from, for messages and for the split.
        instruction: the sentence.
        frames: uint8 (t, size, size, 3), already resized for the policy.
        stamps: float64 (t,), seconds, of the frames, increasing.
        command_stamps: float64 (c,), seconds, increasing.
        commands: float32 (c, 2), linear_x m/s and angular_z rad/s.
        end: seconds; the next instruction, or the end of the recording.
    """

    source: str
    instruction: str
    frames: NDArray[np.uint8]
    stamps: NDArray[np.float64]
    command_stamps: NDArray[np.float64]
    commands: NDArray[np.float32]
    end: float

    @property
    def done_since(self) -> float:
        """Time from which every command until the end is exactly zero (s); `end` when the last one is not.

        An expert that has done its task stands still until the next instruction: this is where `stop` is true.
        """
        moving = np.flatnonzero(np.any(self.commands != 0.0, axis=1))
        if len(moving) == 0:
            return float(self.stamps[0])
        if moving[-1] == len(self.commands) - 1:
            return self.end
        return float(self.command_stamps[moving[-1] + 1])
