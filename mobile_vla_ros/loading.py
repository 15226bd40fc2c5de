"""Loading the policy of a node."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from .control.stepper import Policy
from .drivable import base_limits
from .node_process import StartError

WARM_UP_INSTRUCTION = "go to the red box"


class DrivingPolicy(Policy, Protocol):
    """What a node needs of a policy; `mobile_vla_models.VLAPolicy` is one."""

    @property
    def config(self) -> Any:
        """Has `dt` (s) and `action.limits` (the fields of `mobile_vla_ros.control.Limits`)."""

    def warm_up(self, instructions: Iterable[str]) -> None:
        """Take a step under each, and forget it."""


def load(directory: str, device: str, dtype: str, engine: str, threads: int) -> tuple[DrivingPolicy, str]:
    """The policy, and what computes its steps.

    Args:
        directory: of the policy.
        device: torch device.
        dtype: see `VLAPolicy.from_pretrained`.
        engine: see `VLAPolicy.from_pretrained`.
        threads: that compute it on the CPU; 0: the fastest number that leaves a core free.

    Raises:
        StartError: it cannot be loaded, or cannot drive this robot.
    """
    if not directory:
        raise StartError("parameter policy is empty: expected the path of a policy directory")
    try:
        from mobile_vla_models import MemoryShortageError, PolicyDirectoryError, VLAPolicy
        from mobile_vla_models.engine.threads import measure_threads, use_threads
    except ImportError as error:
        raise StartError(f"the policy needs the Python package {error.name}, which is not installed") from error
    chosen = use_threads(threads)
    try:
        policy = VLAPolicy.from_pretrained(directory, device=device, dtype=dtype, engine=engine)
        if not threads and engine == "torch" and device == "cpu":
            chosen = measure_threads(lambda: policy.warm_up([WARM_UP_INSTRUCTION])) or chosen
        base_limits(policy.config)
    except (PolicyDirectoryError, MemoryShortageError, OSError) as error:
        raise StartError(str(error)) from error
    except ValueError as error:
        raise StartError(f"policy {directory} cannot drive this robot: {error}") from error
    except RuntimeError as error:  # torch: no such device, out of memory
        raise StartError(f"policy {directory} does not load on device {device} as {dtype}: {error}") from error
    return policy, f"{policy.engine.describe()}; {policy.golden_difference}; {chosen}"
