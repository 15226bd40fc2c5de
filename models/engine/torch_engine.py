"""The torch engine: lean parts where a policy allows them, the model itself where it does not."""

from __future__ import annotations

import torch
from torch import nn

from ..history import History, begin_history
from ..modeling import EncodedInstruction, VLAModel
from .history import LeanHistory
from .parts import Prepared, prepare, why_not_lean
from .torch_parts import TorchParts


class TorchEngine:
    """Runs a model's own weights; between runs they may change, and be replaced.

    Args:
        model: in evaluation mode.
        widen: compute in float32 what the processor only emulates; without, numbers overflow and are rounded as on a
            device that knows their type.
    """

    name = "torch"

    def __init__(self, model: VLAModel, *, widen: bool = True) -> None:
        self._model = model
        self._widen = widen
        self._parts: TorchParts | None = None
        self._places: list[int] = []
        for module in model.modules():
            if isinstance(module, nn.RNNBase):
                # cuDNN wants a layer's weights side by side, else it copies them at every call.
                module.flatten_parameters()

    @property
    def exact(self) -> bool:
        """Whether every weight is float32."""
        return all(parameter.dtype == torch.float32 for parameter in self._model.parameters())

    def describe(self) -> str:
        """What runs, and where, in a line."""
        reason = why_not_lean(self._model.config)
        kind = "lean" if reason is None else f"the model as it is, since {reason}"
        return f"torch {torch.__version__} on {self._model.device}, {kind}"

    def begin(self, instruction: EncodedInstruction) -> History | LeanHistory:
        """The history of a run under one instruction (batch 1)."""
        if why_not_lean(self._model.config) is not None:
            return begin_history(self._model, instruction)
        model = self._model
        # What parts share with the model, and graphs that were captured of them, hold the weights' addresses.
        places = [tensor.data_ptr() for tensor in (*model.parameters(), *model.buffers())]
        if self._parts is None or places != self._places:
            self._parts, self._places = self._make_parts(), places
        else:
            self._parts.refresh()
        return LeanHistory(model.config, self._parts, self._prepare(instruction))

    def _make_parts(self) -> TorchParts:
        return TorchParts(self._model, widen=self._widen)

    def _prepare(self, instruction: EncodedInstruction) -> Prepared:
        return prepare(self._model, instruction)
