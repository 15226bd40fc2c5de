"""Where velocities lead."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SMOOTHNESS = 8  # poses per step, so that arcs look round


def integrate(velocity: NDArray[np.floating], seconds: float | NDArray[np.floating]) -> NDArray[np.float64]:
    """The poses of a unicycle that holds one velocity after the other, from the origin on.

    Args:
        velocity: float (n, 2); linear_x (m/s) and angular_z (rad/s, counter-clockwise).
        seconds: that each is held; one number or float (n,).

    Returns:
        float64 (n * SMOOTHNESS + 1, 3); x (m, forward), y (m, left) and yaw (rad), exact on each arc.
    """
    held = np.asarray(velocity, dtype=np.float64) * np.broadcast_to(seconds, len(velocity))[:, None]
    steps = np.repeat(held / SMOOTHNESS, SMOOTHNESS, axis=0)
    yaw = np.cumsum(steps[:, 1])
    halfway = yaw - steps[:, 1] / 2.0
    chord = steps[:, 0] * np.sinc(steps[:, 1] / (2.0 * np.pi))
    way = np.stack([np.cumsum(chord * np.cos(halfway)), np.cumsum(chord * np.sin(halfway)), yaw], axis=1)
    return np.concatenate([np.zeros((1, 3)), way])
