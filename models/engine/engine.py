"""What an engine is, and engines by name."""

from __future__ import annotations

from functools import partial
from os import PathLike
from typing import Protocol

import torch
from torch import Tensor

from ..errors import PolicyDirectoryError
from ..modeling import EncodedInstruction, VLAModel
from .captured import Captured
from .compiled import check_compiler, compiled
from .cuda import CudaGraphs
from .static_engine import StaticEngine
from .torch_engine import TorchEngine

TORCH, COMPILE, GRAPHS, ONNX = "torch", "torch-compile", "torch-cuda-graphs", "onnx"
ENGINES = (TORCH, COMPILE, GRAPHS, ONNX)


class Running(Protocol):
    """A run under one instruction."""

    def step(self, pictures: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """Take the next frame; as `History.step`."""


class Engine(Protocol):
    """What computes a policy's steps.

    Attributes:
        name: of its kind.
    """

    @property
    def name(self) -> str:
        """Of its kind."""

    @property
    def exact(self) -> bool:
        """Whether it computes in float32."""

    def begin(self, instruction: EncodedInstruction) -> Running:
        """Begin a run under one instruction (batch 1)."""

    def describe(self) -> str:
        """What runs, and where, in a line."""


def open_engine(name: str, policy: str | PathLike[str], model: VLAModel, in_memory: bool = False) -> Engine:
    """The engine of that name.

    Args:
        name: torch; torch-compile, the same through torch.compile; torch-cuda-graphs, the same captured and replayed;
            onnx, an export (`mobile-vla export`).
        policy: the policy's directory.
        model: its model.
        in_memory: Read weights that the engine has of its own into memory, instead of mapping their files.

    Raises:
        PolicyDirectoryError: unknown, not installed, not for this device or policy, or the directory has no export that
            fits its weights.
    """
    if name == TORCH:
        return TorchEngine(model)
    if name == COMPILE:
        check_compiler(model.device)
        return StaticEngine(model, COMPILE, compiled)
    if name == GRAPHS:
        if model.device.type != "cuda":
            raise PolicyDirectoryError(f"engine {GRAPHS} needs the policy on a CUDA device, it is on {model.device}")
        return StaticEngine(model, GRAPHS, partial(Captured, recorder=CudaGraphs(model.device)))
    if name != ONNX:
        raise PolicyDirectoryError(f"engine {name!r} is unknown, expected one of {', '.join(ENGINES)}")
    try:
        from .onnx_engine import OnnxEngine
    except ModuleNotFoundError as error:
        raise PolicyDirectoryError(f"engine onnx needs the Python package {error.name}") from error
    return OnnxEngine(policy, model, threads=torch.get_num_threads(), in_memory=in_memory)
