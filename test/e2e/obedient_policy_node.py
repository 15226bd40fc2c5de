"""policy_node with a policy that does what its instruction says: drive, raise, nan, far, hang, die, sleep, compute.

The argument `with-torch` is needed for the last one; with `open-after FILE` it opens when there is that file; `cold`
cannot be opened. With `server` it is a policy_server.
"""

import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mobile_vla_ros.control.stepper import Chunk
from mobile_vla_ros.faults.demands import tell_fault
from mobile_vla_ros.faults.policy import SLOW, FaultyPolicy
from mobile_vla_ros.inference.loading import Loaded
from mobile_vla_ros.policy_node.node import PolicyNode
from mobile_vla_ros.remote.server import PolicyServer
from mobile_vla_ros.robot_node import StartError, run

GOOD_STEPS = 8  # before the fault that the instruction asks for


class ObedientPolicy(FaultyPolicy):
    def __init__(self) -> None:
        super().__init__(lambda _: tell_fault())
        self._steps = 0

    def reset(self) -> None:
        self._steps = 0

    def step(self, rgb: NDArray[np.uint8], instruction: str) -> Chunk:
        self._steps += 1
        self.fault = ""
        if instruction == "compute":
            end = time.monotonic() + SLOW
            while time.monotonic() < end:
                torch.randn(256, 256) @ torch.randn(256, 256)
        elif instruction != "drive" and (self._steps > GOOD_STEPS or instruction == "sleep"):
            self.fault = instruction
        return super().step(rgb, instruction)


def open_policy() -> Loaded:
    if "open-after" in sys.argv:
        file = Path(sys.argv[sys.argv.index("open-after") + 1])
        while not file.exists():  # as a loader does: much Python, and now and then a wait
            sum(range(10_000))
            time.sleep(0.001)
    if "cold" in sys.argv:
        raise StartError("the policy is too cold")
    return Loaded(ObedientPolicy(), identity="obedient")


if __name__ == "__main__":
    if "with-torch" in sys.argv:
        import torch
    sys.exit(run(lambda: (PolicyServer if "server" in sys.argv else PolicyNode)(open_policy)))
