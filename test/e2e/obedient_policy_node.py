"""policy_node with a policy that does what its instruction says: drive, raise, nan, far, hang, die, sleep, compute.

The argument `with-torch` is needed for the last one; `slow-to-open` opens in some seconds; `cold` cannot be opened.
"""

import sys
import time
from collections.abc import Iterable
from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray

from mobile_vla_models import ActionChunk
from mobile_vla_ros.loading import Loaded
from mobile_vla_ros.node_process import StartError, run
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
CONTINUOUS = (
    SimpleNamespace(name="linear_x", minimum=-0.6, maximum=0.6),
    SimpleNamespace(name="angular_z", minimum=-1.2, maximum=1.2),
)
OPENING = 4.0  # s


class ObedientPolicy:
    config = SimpleNamespace(dt=DT, action=SimpleNamespace(limits=LIMITS, continuous=CONTINUOUS))

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
            velocity[:] = np.nan if instruction == "nan" else 0.7
        return ActionChunk.of_base(velocity, np.zeros(ROWS, np.float32), DT)


def open_policy() -> Loaded:
    if "slow-to-open" in sys.argv:
        end = time.monotonic() + OPENING
        while time.monotonic() < end:  # as a loader does: much Python, and now and then a wait
            sum(range(10_000))
            time.sleep(0.001)
    if "cold" in sys.argv:
        raise StartError("the policy is too cold")
    return Loaded(ObedientPolicy(), identity="obedient")


if __name__ == "__main__":
    if "with-torch" in sys.argv:
        import torch
    sys.exit(run(lambda: PolicyNode(open_policy)))
