"""What is done on CUDA devices alone: graphs, and copies that do not wait.

Not run where it was written: there was no GPU.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from .captured import Outputs, Work

# Libraries choose algorithms and allocate workspaces in the first runs, which cannot be done while recording.
_WARM_UP = 3


class CudaGraphs:
    """Records work in CUDA graphs, which share their memory: they are replayed one after the other.

    Args:
        device: a CUDA device.
    """

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.Stream(device)
        self._pool = torch.cuda.graph_pool_handle()

    def warm_up(self, work: Work) -> None:
        """See `Recorder.warm_up`."""
        current = torch.cuda.current_stream(self._stream.device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            for _ in range(_WARM_UP):
                work()
        current.wait_stream(self._stream)

    def record(self, work: Work) -> tuple[Callable[[], None], Outputs]:
        """See `Recorder.record`."""
        graph = torch.cuda.CUDAGraph()
        # Other threads may do with the device what they like.
        with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"):
            outputs = work()
        return graph.replay, outputs


def to_device(array: NDArray[Any], device: torch.device) -> Tensor:
    """Copy an array to a device; to CUDA out of pinned memory, without waiting for it."""
    tensor = torch.from_numpy(array)
    if device.type != "cuda":
        return tensor.to(device)
    # torch does not give pinned memory to others before the copy is done.
    return tensor.pin_memory().to(device, non_blocking=True)


def to_host(*tensors: Tensor) -> list[Tensor]:
    """Copy tensors of one device to the host; from CUDA into pinned memory, with one wait for all."""
    if tensors[0].device.type != "cuda":
        return [tensor.cpu() for tensor in tensors]
    copies = [torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True) for tensor in tensors]
    for copy, tensor in zip(copies, tensors, strict=True):
        copy.copy_(tensor, non_blocking=True)
    torch.cuda.current_stream(tensors[0].device).synchronize()
    return copies
