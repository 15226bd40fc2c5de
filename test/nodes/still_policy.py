"""A policy that stands still, as policy_node opens one."""

from collections.abc import Iterable
from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray

from mobile_vla_models import ActionChunk
from mobile_vla_ros.faults.policy import CONTINUOUS, DT, LIMITS


class StillPolicy:
    config = SimpleNamespace(dt=DT, cameras=("camera",), action=SimpleNamespace(limits=LIMITS, continuous=CONTINUOUS))

    def reset(self) -> None:
        pass

    def warm_up(self, instructions: Iterable[str]) -> None:
        pass

    def step(self, rgb: NDArray[np.uint8], instruction: str) -> ActionChunk:
        return ActionChunk.of_base(np.zeros((3, 2), np.float32), np.zeros(3, np.float32), DT)
