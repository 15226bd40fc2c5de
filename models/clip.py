"""CLIP as a feature extractor: embeddings of picture and words, and where in the picture the words are."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import CLIPModel


@dataclass(frozen=True)
class ClipEncoding:
    """What a tower makes of pictures or texts.

    Attributes:
        pooled: (b, width of the tower), its state of the whole.
        raw: (b, e), projected from it.
    """

    pooled: Tensor
    raw: Tensor

    @property
    def unit(self) -> Tensor:
        """(b, e), `raw` at unit length."""
        return nn.functional.normalize(self.raw, dim=-1)

    def features(self, name: str) -> dict[str, Tensor]:
        """By the names of a policy's features; `name` is clip_image or clip_text."""
        return {name: self.unit, f"{name}_raw": self.raw, f"{name}_pooled": self.pooled}


class ClipGrounding(nn.Module):
    """CLIP towers with a dense read-out: every patch is compared with the words, not the whole picture alone.

    Comparing patch embeddings with text embeddings is MaskCLIP's idea (Zhou et al., 2022); the pairwise sigmoid with
    a learnt bias is SigLIP's (Zhai et al., 2023), so that "not in the picture" is a value of its own: all
    patches low.

    Args:
        clip: taken over; a tower that no feature needs is taken off.
        features: of a policy's fusion.

    Attributes:
        sees: whether there is a tower for pictures.
        reads: whether there is one for words.
        grid: patches along a side of the picture.
        embedding_size: width of the space that pictures and words share.
        text_length: most tokens of a text.
    """

    def __init__(self, clip: CLIPModel, features: Collection[str]) -> None:
        super().__init__()
        config: Any = clip.config
        compares = "clip_similarity" in features
        self.sees = compares or any(name.startswith("clip_image") for name in features)
        self.reads = compares or any(name.startswith("clip_text") for name in features)
        self.grid = int(config.vision_config.image_size) // int(config.vision_config.patch_size)
        self.vision_size = int(config.vision_config.hidden_size)
        self.text_size = int(config.text_config.hidden_size)
        self.embedding_size = int(config.projection_dim)
        self.text_length = int(config.text_config.max_position_embeddings)
        self.clip = clip
        if not self.sees:
            del clip.vision_model, clip.visual_projection
        if not self.reads:
            del clip.text_model, clip.text_projection
        if compares:
            self.similarity_bias = nn.Parameter(torch.tensor(-5.0))
        else:
            del clip.logit_scale

    @property
    def patches(self) -> int:
        """Patches in a picture (grid * grid, row by row from the upper left)."""
        return self.grid * self.grid

    def encode_image(self, pixels: Tensor) -> tuple[ClipEncoding, Tensor]:
        """Normalised pictures (b, 3, s, s) -> their encoding, and unit-length embeddings of patches (b, patches, e)."""
        vision = self.clip.vision_model
        states = vision.post_layernorm(vision(pixel_values=pixels).last_hidden_state)
        embeddings = self.clip.visual_projection(states)
        return ClipEncoding(states[:, 0], embeddings[:, 0]), nn.functional.normalize(embeddings[:, 1:], dim=-1)

    def encode_text(self, input_ids: Tensor, mask: Tensor) -> ClipEncoding:
        """Right-padded ids and mask (b, t) -> encoding of the texts, read at each one's last token."""
        states = self.clip.text_model(input_ids=input_ids, attention_mask=mask).last_hidden_state
        last = states[torch.arange(len(states), device=states.device), mask.sum(dim=1) - 1]
        return ClipEncoding(last, self.clip.text_projection(last))

    def similarity(self, patches: Tensor, texts: Tensor) -> Tensor:
        """Logits that a patch shows what a text names.

        Args:
            patches: (b, p, e) from `encode_image`.
            texts: (n, e), unit length, the same for all pictures, or (b, n, e).

        Returns:
            (b, n, p); its sigmoid is the share of the patch that the thing covers, as trained.
        """
        scale = self.clip.logit_scale.clamp(max=math.log(100.0)).exp()
        return torch.matmul(texts, patches.transpose(1, 2)) * scale + self.similarity_bias
