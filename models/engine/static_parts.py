"""The parts in torch at shapes that repeat, so that towers and decoder can be compiled, or captured in CUDA graphs."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from ..modeling import VLAModel
from .buckets import pad_read
from .lean import LeanText, pool, pooling_of
from .parts import Prepared
from .torch_parts import TorchParts

Wrap = Callable[[nn.Module], nn.Module]


class StaticParts(TorchParts):
    """Runs prompts of `pad_prompt`.

    Fusion and head stay as they are: a few kernels, over windows of every length.

    Args:
        model: see `TorchParts`.
        wrap: what is to run a lean module; it is called with few different shapes.
    """

    def __init__(self, model: VLAModel, wrap: Wrap) -> None:
        super().__init__(model)
        self._pooling = pooling_of(model.config)
        # Where the read-out is pooled, its places are as many as there are words: they are padded before, and pooled
        # after.
        text = self._own(LeanText(model.backbone.model.text_model.model, None))
        self.vision, self.connector, self.text = wrap(self.vision), wrap(self.connector), wrap(text)
        if self.towers is not None:
            self.towers = wrap(self.towers)

    def read(self, latents: Tensor, prepared: Prepared) -> Tensor:
        """See `Parts.read`."""
        read = prepared.read if self._pooling is None else pad_read(prepared.read)
        found: Tensor = self.text(
            latents.to(self._text_dtype),
            prepared.words.to(self._text_dtype),
            prepared.source,
            prepared.positions.to(self._text_dtype),
            read,
        )
        return pool(found.unflatten(1, (len(read), -1))[:, : len(prepared.read)], self._pooling)
