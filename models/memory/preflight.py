"""Say before loading that a policy does not fit, instead of being killed while it loads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from ..errors import MemoryShortageError
from .available import Available, available_memory
from .units import size_text

# Bytes that stay free beside the policy: the camera's driver and the robot's other nodes allocate while it loads, and
# a kernel without any reserve first makes everything slow and then kills the largest process, which is the policy.
RESERVE = 256 * 2**20


@dataclass(frozen=True)
class Need:
    """Memory that a policy takes, in bytes.

    Attributes:
        weights: parameters and buffers.
        workspace: activations and buffers of loading at their peak.
    """

    weights: int
    workspace: int

    @property
    def total(self) -> int:
        """Both."""
        return self.weights + self.workspace


def preflight(need: Need, device: torch.device, smaller: Mapping[str, int], available: Available | None = None) -> None:
    """Refuse a policy that does not fit the memory that is free now.

    Args:
        need: of the policy.
        device: where it is to run.
        smaller: bytes that it would need in other precisions, by their names; may be empty.
        available: what is free; None: ask `available_memory`.

    Raises:
        MemoryShortageError: need and reserve exceed what is free; gives the numbers, and of `smaller` the largest
            that fits.
    """
    free = available if available is not None else available_memory(device)
    if need.total + RESERVE <= free.bytes:
        return
    text = (
        f"policy needs {size_text(need.total)} (weights {size_text(need.weights)}, workspace "
        f"{size_text(need.workspace)}) beside a reserve of {size_text(RESERVE)}, {size_text(free.bytes)} are free of "
        f"{size_text(free.total)} ({free.source}): {_advice(smaller, free.bytes)}"
    )
    if free.without_cache is not None:
        enough = "enough" if need.total + RESERVE <= free.without_cache else "still too little"
        text += (
            f"; {size_text(free.without_cache)} would be free if the file cache were dropped, {enough} "
            "(sudo sysctl vm.drop_caches=1)"
        )
    raise MemoryShortageError(text)


def _advice(smaller: Mapping[str, int], free: int) -> str:
    if not smaller:
        return "it has no smaller precision"
    fitting = {name: size for name, size in smaller.items() if size + RESERVE <= free}
    if fitting:
        best = max(fitting, key=lambda name: fitting[name])
        return f"convert it to {best} ({size_text(fitting[best])})"
    least = min(smaller, key=lambda name: smaller[name])
    return f"no precision fits, the smallest, {least}, needs {size_text(smaller[least])}"
