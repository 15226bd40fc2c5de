"""A policy that drives steadily, and goes wrong on demand."""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Callable, Iterable
from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray

from mobile_vla_models import ActionChunk

from ..control import BaseLimits, Limits
from ..control.stepper import Chunk

DT, ROWS = 0.2, 8
SLOW = 2.0  # s that it takes where it is to be slow
SPEED, TURN = 0.4, 0.2  # m/s; rad/s, to the left
LIMITS = Limits(
    linear_x_min=0.0,
    linear_x_max=0.5,
    angular_z_max=1.0,
    linear_acceleration=1.0,
    angular_acceleration=3.0,
    linear_jerk=10.0,
    angular_jerk=30.0,
)
BRAKING = BaseLimits().braking(LIMITS)
CONTINUOUS = (
    SimpleNamespace(name="linear_x", minimum=-0.6, maximum=0.6),
    SimpleNamespace(name="angular_z", minimum=-1.2, maximum=1.2),
)
ONCE = ("sleep", "compute", "hold", "hang", "die")  # they go wrong in one step only
FAULTS = (*ONCE, "raise", "nan", "infinite", "far", "shape", "probability", "done")


class FaultyPolicy:
    """Drives to the left; to the right under an instruction that has this word.

    Args:
        tell: is called with the name of a fault when it begins.

    Attributes:
        fault: what goes wrong from the next step on, one of `FAULTS`; empty: nothing.
    """

    config = SimpleNamespace(dt=DT, cameras=("camera",), action=SimpleNamespace(limits=LIMITS, continuous=CONTINUOUS))

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.fault = ""
        self._tell = tell

    def reset(self) -> None:
        """It has no history."""

    def warm_up(self, instructions: Iterable[str]) -> None:
        """It is never cold."""

    def step(self, rgb: NDArray[np.uint8], instruction: str) -> Chunk:
        """The same velocity again and again, unless something is to go wrong.

        Raises:
            RuntimeError: the fault `raise`.
            SystemExit: the fault `die`.
        """
        fault = self.fault
        if fault in ONCE:
            self.fault = ""
        if fault:
            self._tell(fault)
        turn = -TURN if "right" in instruction else TURN
        velocity = np.tile(np.array([SPEED, turn], np.float32), (ROWS, 1))
        stop = np.zeros(ROWS, np.float32)
        if fault == "raise":
            raise RuntimeError("out of memory")
        if fault == "die":
            sys.exit("the worker ends")
        if fault == "shape":
            return SimpleNamespace(velocity=np.tile(velocity, (1, 2)), stop=stop, dt=DT)
        if fault == "probability":
            stop[:] = 1.5
        elif fault == "done":
            stop[:] = 1.0
        elif fault in VALUES:
            velocity[:] = VALUES[fault]
        elif fault in _DELAYS:
            _DELAYS[fault]()
        return ActionChunk.of_base(velocity, stop, DT)


def _compute() -> None:
    end = time.monotonic() + SLOW
    while time.monotonic() < end:
        sum(range(1000))


def _hold() -> None:
    # Called through PyDLL a function of C keeps the interpreter's lock, as an extension that never lets go of it does.
    ctypes.PyDLL(None).usleep(round(SLOW * 1e6))


VALUES = {"nan": np.nan, "infinite": np.inf, "far": 0.7}
_DELAYS: dict[str, Callable[[], None]] = {
    "sleep": lambda: time.sleep(SLOW),
    "compute": _compute,
    "hold": _hold,
    "hang": lambda: time.sleep(86400.0),
}
