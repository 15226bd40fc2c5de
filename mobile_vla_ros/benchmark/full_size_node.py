"""policy_node with random weights of full size, to load a machine with.

Arguments: precision, torch device, engine, threads (0: chosen).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray

from mobile_vla_models import ActionChunk, VLAPolicy
from mobile_vla_models.benchmark.policy.full_size import full_size_policy
from mobile_vla_models.engine.threads import use_threads

from ..control import Limits
from ..inference.loading import Loaded
from ..policy_node.node import PolicyNode
from ..robot_node import run

LIMITS = Limits(0.0, 0.5, 1.0, 1.0, 3.0, 10.0, 30.0)
ROWS = 64  # of a plan: longer than a step takes on a slow machine


class FullSizeDriver:
    """The random policy with what a base needs and it lacks: limits, plans that last, a `stop` (never said)."""

    def __init__(self, policy: VLAPolicy) -> None:
        self._policy = policy
        action = SimpleNamespace(limits=LIMITS, continuous=policy.config.action.continuous)
        self.config = SimpleNamespace(dt=policy.config.dt, cameras=policy.config.cameras, action=action)

    def reset(self) -> None:
        """Forget the history."""
        self._policy.reset()

    def warm_up(self, instructions: Iterable[str]) -> None:
        """Take a step under each, and forget it."""
        self._policy.warm_up(instructions)

    def step(self, rgb: NDArray[np.uint8], instruction: str) -> ActionChunk:
        """The policy's step; its one action, held."""
        action = self._policy.step(rgb, instruction).velocity[0]
        return ActionChunk.of_base(np.tile(action, (ROWS, 1)), np.zeros(ROWS, np.float32), self.config.dt)


def main(precision: str, device: str, engine: str, threads: str) -> int:
    """Run the node; the exit code."""
    print(use_threads(int(threads)), flush=True)
    return run(lambda: PolicyNode(lambda: Loaded(FullSizeDriver(full_size_policy(precision, device, engine)))))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:5]))
