"""Drivers that every success rate is compared with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mobile_vla_models import ActionChunk, VLAPolicy
from mobile_vla_models.modeling import initialise
from mobile_vla_models.policy_directory import PolicyParts

from ..drivable import base_limits
from ..sim.task import Task


class ConstantForward:
    """Drives straight on at half the policy's top speed, whatever it sees or is told."""

    def __init__(self, policy: VLAPolicy) -> None:
        self._speed = base_limits(policy.config).linear_x_max / 2.0
        self._chunk = policy.config.chunk
        self._dt = policy.config.dt

    def reset(self) -> None:
        """Nothing to forget."""

    def step(self, rgb: NDArray[np.uint8], instruction: str) -> ActionChunk:
        """The same chunk each time."""
        velocity = np.tile(np.array([self._speed, 0.0], dtype=np.float32), (self._chunk, 1))
        return ActionChunk.of_base(velocity, np.zeros(self._chunk, dtype=np.float32), self._dt)


def untrained(policy: VLAPolicy, seed: int) -> VLAPolicy:
    """The same configuration and tokenizers with freshly drawn weights."""
    return VLAPolicy(PolicyParts(policy.config, initialise(policy.config, seed), policy.encoder))


def shuffled_instructions(tasks: list[Task], rng: np.random.Generator) -> list[str]:
    """For each task the sentence of another episode's task which means something else.

    Raises:
        ValueError: all tasks mean the same, so that there is nothing to shuffle.
    """
    order = rng.permutation(len(tasks))
    said: list[str] = [""] * len(tasks)
    for position, index in enumerate(order):
        task = tasks[index]
        others = (tasks[i] for i in np.roll(order, -position - 1))
        other = next((o for o in others if (o.kind, o.target) != (task.kind, task.target)), None)
        if other is None:
            raise ValueError("all tasks mean the same; instructions cannot be shuffled")
        said[index] = other.instruction
    return said
