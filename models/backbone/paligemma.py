"""PaliGemma (Beyer et al., 2024) and PaliGemma 2: SigLIP, a projector, Gemma with a bidirectional prefix."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from typing_extensions import override

from ..errors import BackboneError
from ..sequence import ACTION_TOKEN, PADDING, Sequence
from .base import Backbone
from .registry import register_backbone


@register_backbone("paligemma")
class PaliGemmaBackbone(Backbone):
    """`PaliGemmaForConditionalGeneration`.

    It was trained with a prefix, pictures and prompt, whose tokens all see each other, and a causal suffix. Here the
    prefix of each frame is what stands before its action tokens. A frame sees those before it, never one after it.
    """

    model_types = frozenset({"paligemma"})

    @property
    @override
    def text_tower(self) -> nn.Module:
        return self.model.model.language_model  # type: ignore[no-any-return]

    @property
    @override
    def vision_tower(self) -> nn.Module:
        return self.model.model.vision_tower  # type: ignore[no-any-return]

    @override
    def first_position(self) -> int:
        return 1

    @override
    def encode_images(self, pixels: Tensor) -> Tensor:
        """(n, 3, s, s) -> (n, (s / patch)**2, hidden_size)."""
        return self.model.get_image_features(pixel_values=pixels).pooler_output  # type: ignore[no-any-return]

    @override
    def attention_blocks(self, sequence: Sequence) -> Tensor:
        """The frame of each token of a prefix, -1 for the suffixes."""
        layout = sequence.layout
        index = torch.arange(layout.kinds.shape[1], device=layout.kinds.device)
        last_action = torch.where(layout.kinds == ACTION_TOKEN, index, -1).cummax(dim=1).values
        frame_of_it = layout.frame.gather(1, last_action.clamp(min=0))
        # A part of a sequence may begin after the last frame's action tokens: `answer` still knows of them.
        suffix = ((last_action >= 0) & (frame_of_it == layout.frame)) | layout.answer
        return torch.where(suffix | (layout.kinds == PADDING), -1, layout.frame)

    @override
    def check(self) -> None:
        super().check()
        # Gemma once scaled all embeddings in its decoder: learnt tokens trained with one of the two ways of scaling
        # would be wrong by sqrt(hidden_size) with the other.
        if not hasattr(self.word_embedding, "embed_scale"):
            raise BackboneError(
                f"{type(self).__name__}: {type(self.text_tower).__name__} of the installed transformers scales "
                "embeddings in the decoder; a later version is needed, in which the word embedding does"
            )
