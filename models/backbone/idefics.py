"""Idefics (Laurençon et al., 2023), the open reproduction of Flamingo: gated cross-attention to pictures."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from ..sequence import Sequence
from .base import Backbone
from .registry import register_backbone


@register_backbone("idefics")
class IdeficsBackbone(Backbone):
    """`IdeficsForVisionText2Text`.

    Pictures do not stand in the sequence. A token attends to the pictures of its own frame that stand before it; one
    before which none stands gets nothing from the cross-attention. (Idefics was trained on texts in which a token
    attends to the last picture before it only; with one picture a frame that is the same.)
    """

    model_types = frozenset({"idefics"})

    @property
    @override
    def text_tower(self) -> nn.Module:
        return self.model.model  # type: ignore[no-any-return]

    @property
    @override
    def vision_tower(self) -> nn.Module:
        return self.model.model.vision_model  # type: ignore[no-any-return]

    @property
    @override
    def cross_attends(self) -> bool:
        return True

    @property
    @override
    def max_length(self) -> int:
        # Its rotary positions have no end. Before transformers 5.20 its configuration did not say what LLaMA's says.
        return int(getattr(self.text_config, "max_position_embeddings", 2048))

    @override
    def encode_images(self, pixels: Tensor) -> Tensor:
        """(n, 3, s, s) -> (n, q, width of the vision tower): latents of the resampler, or patches without one."""
        states: Tensor = self.vision_tower(pixel_values=pixels).last_hidden_state
        return self.text_tower.perceiver_resampler(states) if self._resamples else states  # type: ignore[operator]

    @override
    def decode(self, sequence: Sequence, **arguments: Any) -> Tensor:
        layout = sequence.layout
        number = torch.arange(sequence.images.shape[1], device=layout.kinds.device)
        per_frame = len(number) // layout.frames
        of_frame = number // per_frame == layout.frame.unsqueeze(-1)
        before = number % per_frame < layout.seen.unsqueeze(-1)
        arguments["perceiver_embeddings" if self._resamples else "image_encoder_embeddings"] = sequence.images
        return super().decode(sequence, image_attention_mask=(of_frame & before).long(), **arguments)

    @property
    def _resamples(self) -> bool:
        return bool(self.model.config.use_resampler)
