"""LLaVA (Liu et al., 2023): CLIP's vision tower, a projector, a LLaMA-type decoder."""

from __future__ import annotations

from torch import Tensor, nn
from typing_extensions import override

from .base import Backbone
from .pictures import gather_features
from .registry import register_backbone


@register_backbone("llava")
class LlavaBackbone(Backbone):
    """`LlavaForConditionalGeneration`; its parts by name, as in any backbone of one's own."""

    model_types = frozenset({"llava"})

    @property
    @override
    def text_tower(self) -> nn.Module:
        return self.model.model.language_model  # type: ignore[no-any-return]

    @property
    @override
    def vision_tower(self) -> nn.Module:
        return self.model.model.vision_tower  # type: ignore[no-any-return]

    @override
    def encode_images(self, pixels: Tensor) -> Tensor:
        """(n, 3, s, s) -> (n, (s / patch)**2, hidden_size)."""
        return gather_features(self.model.get_image_features(pixel_values=pixels).pooler_output, len(pixels))
