"""Kosmos-2 (Peng et al., 2023): CLIP's vision tower, a resampler to a few latents, a causal decoder."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel
from typing_extensions import override

from .base import Backbone
from .registry import register_backbone


@register_backbone("kosmos2")
class Kosmos2Backbone(Backbone):
    """`Kosmos2ForConditionalGeneration`. Word embeddings go in unscaled: the decoder scales the whole sequence."""

    model_types = frozenset({"kosmos-2"})

    def __init__(self, model: PreTrainedModel, language_head: bool) -> None:
        super().__init__(model, language_head)
        # transformers up to 5.20 takes this cross-attention for causal: a latent would see only as many
        # patches as its own number. The flag is the instance's; where it is right already, this changes nothing.
        self.model.image_to_text_projection.x_attn.is_causal = False

    @property
    @override
    def text_tower(self) -> nn.Module:
        return self.model.text_model.model  # type: ignore[no-any-return]

    @property
    @override
    def vision_tower(self) -> nn.Module:
        return self.model.vision_model  # type: ignore[no-any-return]

    @property
    @override
    def vision_modules(self) -> tuple[nn.Module, ...]:
        return self.model.vision_model, self.model.image_to_text_projection

    @property
    @override
    def hidden_size(self) -> int:
        return int(self.text_config.embed_dim)

    @property
    @override
    def text_config(self) -> Any:
        return self.model.config.text_config

    @override
    def first_position(self) -> int:
        # As fairseq counts: positions follow the padding index.
        return int(self.text_config.pad_token_id) + 1

    @override
    def encode_images(self, pixels: Tensor) -> Tensor:
        """(n, 3, s, s) -> (n, latent_query_num, embed_dim)."""
        return self.encode_images_pooled(pixels)[0]

    @override
    def encode_images_pooled(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """(n, 3, s, s) -> (n, latent_query_num, embed_dim), and the class token's state (n, vision_size)."""
        vision = self.model.vision_model
        states = vision.model.post_layernorm(vision(pixel_values=pixels).last_hidden_state)
        latents, _ = self.model.image_to_text_projection(nn.functional.normalize(states, dim=-1))
        return latents, states[:, 0]
