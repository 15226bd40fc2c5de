"""The torch engine at shapes that repeat: compiled, or captured in CUDA graphs."""

from __future__ import annotations

from ..errors import PolicyDirectoryError
from ..modeling import EncodedInstruction, VLAModel
from .buckets import BUCKET, pad_prompt
from .parts import Prepared, why_not_lean
from .static_parts import StaticParts, Wrap
from .torch_engine import TorchEngine


class StaticEngine(TorchEngine):
    """Runs a lean policy's own weights; between runs they may change, and be replaced.

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

    def describe(self) -> str:
        """What runs, and where, in a line."""
        return f"{super().describe()}, by {self.name}, prompts padded to a multiple of {BUCKET} tokens"

    def _make_parts(self) -> StaticParts:
        return StaticParts(self._model, self._wrap)

    def _prepare(self, instruction: EncodedInstruction) -> Prepared:
        return pad_prompt(super()._prepare(instruction))
