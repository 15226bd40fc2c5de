"""policy_node with a policy that does what its instruction says: drive, raise, nan, hang, die, sleep, compute.

The argument `with-torch` is needed for the last one.
"""

import sys
import time
from collections.abc import Iterable
from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray

from mobile_vla_models import ActionChunk
from mobile_vla_ros.node_process import run
from mobile_vla_ros.policy_node import PolicyNode

DT, ROWS = 0.2, 8
GOOD_STEPS = 8  # before the fault that the instruction asks for
SLOW = 2.0  # s
LIMITS = SimpleNamespace(
    linear_x_min=0.0,
    linear_x_max=0.5,
    angular_z_max=1.0,
    linear_acceleration=1.0,
    angular_acceleration=3.0,
    linear_jerk=10.0,
    angular_jerk=30.0,
)


class ObedientPolicy:
    config = SimpleNamespace(dt=DT, action=SimpleNamespace(limits=LIMITS))

    def __init__(self) -> None:
        self._steps = 0

    def reset(self) -> None:
        self._steps = 0

    def warm_up(self, instructions: Iterable[str]) -> None:
        pass

    def step(self, rgb: NDArray[np.uint8], instruction: str) -> ActionChunk:
        self._steps += 1
        velocity = np.tile(np.float32([0.4, 0.2]), (ROWS, 1))
        if instruction == "sleep":
            time.sleep(SLOW)
        elif instruction == "compute":
            end = time.monotonic() + SLOW
            while time.monotonic() < end:
                torch.randn(256, 256) @ torch.randn(256, 256)
        elif self._steps > GOOD_STEPS and instruction != "drive":
            print(f"fault {time.monotonic()}", flush=True)
            if instruction == "raise":
                raise RuntimeError("out of memory")
            if instruction == "die":
                sys.exit("the worker ends")
            if instruction == "hang":
                time.sleep(3600.0)
            velocity[:] = np.nan
        return ActionChunk.of_base(velocity, np.zeros(ROWS, np.float32), DT)


if __name__ == "__main__":
    if "with-torch" in sys.argv:
        import torch
    sys.exit(run(lambda: PolicyNode(ObedientPolicy())))
