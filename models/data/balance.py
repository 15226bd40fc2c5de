"""How often which kind of motion is drawn: recorded runs are mostly straight ahead, and what is rare is not learnt."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from ..configuration import Strict
from ..errors import DataError

# Slower than this a base stands, or does not turn: m/s and rad/s.
_STILL = 0.02


class BalanceConfig(Strict):
    """Shares of the frames that are drawn, by the command that answers them; kinds that the data lack get none."""

    standing: float = Field(ge=0.0)
    turning_left: float = Field(ge=0.0)
    turning_right: float = Field(ge=0.0)
    driving: float = Field(ge=0.0, description="straight on, or sideways")

    @model_validator(mode="after")
    def _whole(self) -> BalanceConfig:
        total = sum(self.shares)
        if abs(total - 1.0) > 1e-6:
            raise ValueError(f"the shares sum up to {total:g}, expected 1")
        return self

    @property
    def shares(self) -> tuple[float, float, float, float]:
        """Of standing, turning left, turning right, driving."""
        return (self.standing, self.turning_left, self.turning_right, self.driving)


def motion_kinds(velocity: NDArray[np.float32], names: tuple[str, ...]) -> NDArray[np.int64]:
    """0 standing, 1 turning left, 2 turning right, 3 driving.

    Args:
        velocity: float32 (t, k), m/s and rad/s.
        names: of its columns; `angular_z` turns, counter-clockwise is left (REP-103).

    Raises:
        DataError: there is no angular_z.
    """
    if "angular_z" not in names:
        raise DataError(f"balance is by angular_z; the actions are {', '.join(names)}")
    turn = velocity[:, names.index("angular_z")]
    moves = (np.abs(velocity) > _STILL).any(axis=1)
    return np.select([~moves, turn > _STILL, turn < -_STILL], [0, 1, 2], default=3).astype(np.int64)


def balance_weights(kinds: NDArray[np.int64], balance: BalanceConfig) -> NDArray[np.float64]:
    """The probability of each frame to be drawn, (t,).

    Raises:
        DataError: no frame is of a kind that is to be drawn.
    """
    counts = np.bincount(kinds, minlength=4)
    weights = (np.array(balance.shares) / np.maximum(counts, 1))[kinds]
    if not weights.sum() > 0.0:
        raise DataError(f"balance draws {balance.shares}, the data hold {counts.tolist()} frames of these kinds")
    return np.asarray(weights / weights.sum())
