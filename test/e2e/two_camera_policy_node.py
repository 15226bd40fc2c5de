"""policy_node with a policy that drives by two cameras, front and hand, under any instruction."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray

from mobile_vla_ros.control.stepper import Chunk
from mobile_vla_ros.faults.policy import FaultyPolicy
from mobile_vla_ros.inference.loading import Loaded
from mobile_vla_ros.policy_node.node import PolicyNode
from mobile_vla_ros.robot_node import run


class TwoCameraPolicy(FaultyPolicy):
    config = SimpleNamespace(**{**vars(FaultyPolicy.config), "cameras": ("front", "hand")})

    def step(
        self,
        rgb: NDArray[np.uint8],
        instruction: str,
        state: None = None,
        extra_cameras: Mapping[str, NDArray[np.uint8]] | None = None,
    ) -> Chunk:
        if extra_cameras is None or {name: picture.shape for name, picture in extra_cameras.items()} != {
            "hand": rgb.shape
        }:
            raise ValueError(f"cameras besides the first: {extra_cameras}")
        return super().step(rgb, instruction)


if __name__ == "__main__":
    sys.exit(run(lambda: PolicyNode(lambda: Loaded(TwoCameraPolicy(lambda _: None)))))
