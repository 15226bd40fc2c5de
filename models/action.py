"""What a policy says: a chunk of velocities and stop probabilities. No torch here, so that nodes may import it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ActionChunk:
    """Actions for the `n` steps that begin at the stamp of the frame they were computed from.

    Attributes:
        velocity: float32 (n, 2); columns are linear_x (m/s, forward) and angular_z (rad/s, counter-clockwise)
            of the base frame (REP-103). Row k is the velocity wanted at frame stamp + k * dt.
        stop: float32 (n,); probability in [0, 1] that the task is done at that time.
        dt: seconds between rows.
    """

    velocity: NDArray[np.float32]
    stop: NDArray[np.float32]
    dt: float
