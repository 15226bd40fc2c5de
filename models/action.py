"""What a policy says: a chunk of actions in SI units. No torch here, so that nodes may import it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BASE = ("linear_x", "angular_z")  # m/s forward, rad/s counter-clockwise, of the base frame (REP-103)
STOP = "stop"


@dataclass(frozen=True)
class ActionChunk:
    """Actions for the `n` steps that begin at the stamp of the frame they were computed from.

    Row r is what is wanted at frame stamp + r * dt. Columns are named by the policy's action spec.

    Attributes:
        continuous: float32 (n, k), each column in the unit of its dimension.
        binary: float32 (n, m); probabilities in [0, 1].
        continuous_names, binary_names: of the columns.
        dt: seconds between rows.
    """

    continuous: NDArray[np.float32]
    binary: NDArray[np.float32]
    continuous_names: tuple[str, ...]
    binary_names: tuple[str, ...]
    dt: float

    @classmethod
    def of_base(cls, velocity: NDArray[np.float32], stop: NDArray[np.float32], dt: float) -> ActionChunk:
        """A chunk for a wheeled base: velocity (n, 2), m/s and rad/s; stop (n,), probability that the task is done."""
        return cls(velocity, stop[:, None], BASE, (STOP,), dt)

    @property
    def velocity(self) -> NDArray[np.float32]:
        """float32 (n, 2): linear_x (m/s) and angular_z (rad/s); KeyError if this is no action of a wheeled base."""
        return np.stack([self.column(name) for name in BASE], axis=1)

    @property
    def stop(self) -> NDArray[np.float32]:
        """float32 (n,): probability in [0, 1] that the task is done; KeyError if the spec has no `stop`."""
        return self.column(STOP)

    def column(self, name: str) -> NDArray[np.float32]:
        """float32 (n,): one dimension of the action spec; KeyError if it has none of that name."""
        if name in self.continuous_names:
            return self.continuous[:, self.continuous_names.index(name)]
        if name in self.binary_names:
            return self.binary[:, self.binary_names.index(name)]
        raise KeyError(f"no action {name!r}; the policy has {', '.join((*self.continuous_names, *self.binary_names))}")
