"""The torch engine at shapes that repeat: compiled, or captured in CUDA graphs."""

from __future__ import annotations

from ..errors import PolicyDirectoryError
from ..modeling import EncodedInstruction, VLAModel
from .buckets import BUCKET, pad_prompt
from .history import LeanHistory
from .parts import prepare, why_not_lean
from .static_parts import StaticParts, Wrap
from .torch_engine import TorchEngine


class StaticEngine(TorchEngine):
    """Runs a lean policy's own weights; they may change between runs.

    Args:
        model: in evaluation mode.
        name: of the engine.
        wrap: see `StaticParts`.

    Raises:
        PolicyDirectoryError: the policy's step is not lean.
    """

    def __init__(self, model: VLAModel, name: str, wrap: Wrap) -> None:
        super().__init__(model)
        reason = why_not_lean(model.config)
        if reason is not None:
            raise PolicyDirectoryError(f"engine {name} runs lean steps, the policy's is not: {reason}; take torch")
        self.name = name
        self._wrap = wrap
        self._static: StaticParts | None = None
        self._places: list[int] = []

    def describe(self) -> str:
        """What runs, and where, in a line."""
        return f"{super().describe()}, by {self.name}, prompts padded to a multiple of {BUCKET} tokens"

    def begin(self, instruction: EncodedInstruction) -> LeanHistory:
        """The history of a run under one instruction (batch 1)."""
        model = self._model
        # Graphs hold the addresses of weights.
        places = [tensor.data_ptr() for tensor in (*model.parameters(), *model.buffers())]
        if self._static is None or places != self._places:
            self._static, self._places = StaticParts(model, self._wrap), places
        else:
            self._static.refresh()
        return LeanHistory(model.config, self._static, pad_prompt(prepare(model, instruction)))
