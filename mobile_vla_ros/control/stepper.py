"""Calls a policy frame by frame, and keeps its history true to the run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from .plan import ActionPlan


class Chunk(Protocol):
    """What a policy answers; see `mobile_vla_models.ActionChunk`."""

    @property
    def velocity(self) -> NDArray[np.float32]:
        """(n, 2): linear_x (m/s), angular_z (rad/s)."""

    @property
    def stop(self) -> NDArray[np.float32]:
        """(n,): probability that the task is done."""

    @property
    def dt(self) -> float:
        """Seconds between rows."""


class Policy(Protocol):
    """What steers: `mobile_vla_models.VLAPolicy`, or anything with its two methods."""

    def reset(self) -> None:
        """Forget history and instruction."""

    def step(self, rgb: NDArray[np.uint8], instruction: str) -> Chunk:
        """One recurrent step on a uint8 (height, width, 3) RGB frame."""


class ManyCamerasPolicy(Protocol):
    """What steers by several cameras; `mobile_vla_models.VLAPolicy` is one."""

    def step(
        self,
        rgb: NDArray[np.uint8],
        instruction: str,
        state: None,
        extra_cameras: Mapping[str, NDArray[np.uint8]],
    ) -> Chunk:
        """One recurrent step on frames as of `Policy`: of its first camera, and of the others by name."""


class PolicyStepper:
    """One policy in one run: resets its history at a new instruction or a gap, and stamps its answers.

    Args:
        policy: the policy; nobody else may step it meanwhile.
        dt: s between recurrent steps.
    """

    _GAP = 3.0  # in dt: frames further apart are not one history

    def __init__(self, policy: Policy, dt: float) -> None:
        self._policy = policy
        self._dt = dt
        self._last: tuple[int, float] | None = None  # instruction id, stamp of the frame

    def step(
        self,
        rgb: NDArray[np.uint8],
        stamp: float,
        instruction: str,
        instruction_id: int,
        extra_cameras: Mapping[str, NDArray[np.uint8]] | None = None,
    ) -> ActionPlan:
        """Take the frame (uint8 RGB, height x width x 3) stamped `stamp` (s); the plan that begins there.

        Of several cameras it is the frame of the policy's first, `extra_cameras` are those of the others by name, and
        the stamp is that of the oldest. Whatever the policy raises goes through; its history is then reset before the
        next step.
        """
        last, self._last = self._last, None
        if last is None or last[0] != instruction_id or not 0.0 < stamp - last[1] <= self._GAP * self._dt:
            self._policy.reset()
        if extra_cameras:
            chunk = cast(ManyCamerasPolicy, self._policy).step(rgb, instruction, None, extra_cameras)
        else:
            chunk = self._policy.step(rgb, instruction)
        self._last = (instruction_id, stamp)
        return ActionPlan(stamp, chunk.dt, np.asarray(chunk.velocity), np.asarray(chunk.stop), instruction_id)
