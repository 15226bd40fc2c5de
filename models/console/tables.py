"""What the console shows, as tables."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.markup import escape
from rich.table import Table
from torch import Tensor

from ..memory import Available, ProcessMemory, resident_bytes, size_text
from ..policy import VLAPolicy
from .session import Step

_PROCESS = {
    "rss": "resident",
    "anonymous": "of it anonymous",
    "file": "of it mapped files",
    "swap": "swapped out",
    "peak_rss": "peak of resident",
}


def precision(policy: VLAPolicy) -> str:
    """Of the weights: the plain numbers, and the integers of quantised parts before them, as in "int8 and bfloat16"."""
    plain = str(policy.model.dtype).removeprefix("torch.")
    quantised = sorted({part.value for part in policy.config.precision.parts.values() if part.quantised})
    return f"{', '.join(quantised)} and {plain}" if quantised else plain


def step_table(policy: VLAPolicy, step: Step) -> Table:
    """The chunk of a step: a row for each of its times, s after the frame, and every action with its unit."""
    chunk, config = step.chunk, policy.config
    held = min(step.number, config.window)
    title = f"step {step.number}, {held} of {config.window} frames in the window, {step.latency:.1f} ms"
    table = Table("row", "time (s)", title=title, title_justify="left")
    units = {action.name: action.unit for action in config.action.continuous}
    for name in chunk.continuous_names:
        table.add_column(escape(f"{name} ({units[name]})"), justify="right")
    for name in chunk.binary_names:
        table.add_column(escape(f"{name} (probability)"), justify="right")
    for row, (values, chances) in enumerate(zip(chunk.continuous, chunk.binary, strict=True)):
        numbers = [*(f"{value:+.3f}" for value in values), *(f"{chance:.3f}" for chance in chances)]
        table.add_row(str(row), f"{row * chunk.dt:.2f}", *numbers)
    return table


def latency_table(policy: VLAPolicy, latencies: NDArray[np.float64]) -> Table:
    """Percentiles of the latency in ms, and what they were measured on."""
    table = Table(title=f"latency of {len(latencies)} steps", title_justify="left", show_header=False)
    for percent, value in zip((50, 95, 99), np.percentile(latencies, (50, 95, 99)), strict=True):
        table.add_row(f"p{percent}", f"{value:.2f} ms")
    table.add_row("parameters", f"{policy.model.parameter_count():,}")
    table.add_row("precision", precision(policy))
    table.add_row("threads", str(torch.get_num_threads()))
    table.add_row("device", str(policy.model.device))
    return table


def memory_table(memory: ProcessMemory, device: torch.device, available: Available) -> Table:
    """Memory of the process, of its CUDA device if it uses one, and what is free."""
    table = Table(title="memory", title_justify="left", show_header=False)
    for field in fields(memory):
        size = getattr(memory, field.name)
        table.add_row(f"process, {_PROCESS[field.name]}", "not known here" if size is None else size_text(size))
    if device.type == "cuda":
        table.add_row(f"{device}, tensors", size_text(torch.cuda.memory_allocated(device)))
        table.add_row(f"{device}, kept by torch", size_text(torch.cuda.memory_reserved(device)))
    table.add_row("free", escape(str(available)))
    return table


def weights_table(policy: VLAPolicy) -> Table:
    """Bytes of the policy's tensors by its parts, and how many of them are in memory (mapped files may not be)."""
    parts: dict[str, list[Tensor]] = {}
    model = policy.model
    seen: set[int] = set()
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if tensor.is_meta:  # dropped: an ONNX export computes it
            continue
        # Parts may share a tensor; it is there once.
        if tensor.data_ptr() not in seen or tensor.numel() == 0:
            seen.add(tensor.data_ptr())
            parts.setdefault(name.partition(".")[0], []).append(tensor.detach())
    table = Table("part", "parameters and buffers", "in memory", title=f"weights, {precision(policy)}")
    table.title_justify = "left"
    for name, tensors in (*parts.items(), ("all", [tensor for part in parts.values() for tensor in part])):
        size = sum(tensor.nbytes for tensor in tensors)
        table.add_row(escape(name), size_text(size), _in_memory(tensors))
    return table


def _in_memory(tensors: list[Tensor]) -> str:
    if any(tensor.device.type != "cpu" for tensor in tensors):
        return "on the device"
    if not Path("/proc/self/pagemap").exists():
        return "not known here"
    return size_text(sum(resident_bytes(tensor) for tensor in tensors))
