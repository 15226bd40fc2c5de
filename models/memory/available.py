"""How much memory can still be had, on the CPU and on CUDA devices, and what bounds it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from .cgroup import cgroup_limits
from .kernel import read_sizes
from .units import size_text


@dataclass(frozen=True)
class Available:
    """Memory that can be had now, in bytes.

    Attributes:
        bytes: what can be had.
        total: of how many.
        source: what bounds it, such as "MemAvailable" or "cgroup /x".
        without_cache: what could be had if the kernel's file cache were dropped; None where that makes no difference.
    """

    bytes: int
    total: int
    source: str
    without_cache: int | None = None

    def __str__(self) -> str:
        text = f"{self.source}: {size_text(self.bytes)} of {size_text(self.total)}"
        if self.without_cache is not None:
            text += f", {size_text(self.without_cache)} if the file cache is dropped"
        return text


def available_memory(device: torch.device, root: Path = Path("/")) -> Available:
    """What can still be had on a device.

    CPU: the least of MemAvailable and what every cgroup above this process leaves; swap does not count.
    CUDA: what the driver says is free. A GPU that shares the CPU's memory (Jetson) gets the least of that and MemFree:
    the file cache is not given up for it reliably, so what dropping the cache would free stands beside the figure.
    Limits of cgroups do not count there, as the driver's pages are not charged to the process.

    Args:
        device: cpu or cuda.
        root: where /proc, /sys and /etc are.

    Raises:
        ValueError: another kind of device.
    """
    if device.type == "cpu":
        return _available_to_cpu(root)
    if device.type != "cuda":
        raise ValueError(f"free memory of device {device} is not known: expected cpu or cuda")
    free, total = torch.cuda.mem_get_info(device)
    if not shares_memory(device, root):
        return Available(free, total, f"free on {device} ({torch.cuda.get_device_name(device)})")
    memory = read_sizes(root / "proc/meminfo")
    cached = max(memory["MemAvailable"] - memory["MemFree"], 0)
    if memory["MemFree"] < free:
        free, source = memory["MemFree"], f"MemFree, shared with {device}"
    else:
        source = f"free on {device}, shared with the CPU"
    return Available(free, min(total, memory["MemTotal"]), source, free + cached)


def shares_memory(device: torch.device, root: Path = Path("/")) -> bool:
    """Whether a CUDA device has no memory of its own, as on a Jetson."""
    if torch.cuda.get_device_properties(device).is_integrated:
        return True
    if (root / "etc/nv_tegra_release").exists():
        return True
    model = root / "proc/device-tree/model"
    return model.exists() and b"Jetson" in model.read_bytes()


def _available_to_cpu(root: Path) -> Available:
    if not (root / "proc/meminfo").exists():
        import psutil  # type: ignore[import-untyped]

        memory = psutil.virtual_memory()
        return Available(int(memory.available), int(memory.total), "free by psutil")
    sizes = read_sizes(root / "proc/meminfo")
    figures = [Available(sizes["MemAvailable"], sizes["MemTotal"], "MemAvailable")]
    figures += [Available(group.free, group.limit, f"cgroup {group.path}") for group in cgroup_limits(root)]
    return min(figures, key=lambda figure: figure.bytes)
