"""CLIP as a feature extractor: embeddings of picture and words, and where in the picture the words are."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from transformers import CLIPModel


class ClipGrounding(nn.Module):
    """CLIP towers with a dense read-out: every patch is compared with the words, not the whole picture alone.

    Comparing patch embeddings with text embeddings is MaskCLIP's idea (Zhou et al., 2022); the pairwise sigmoid with
    a learnt bias is SigLIP's (Zhai et al., 2023), so that "not in the picture" is a value of its own: all
    patches low.

    Attributes:
        grid: patches along a side of the picture.
        embedding_size: width of the space that pictures and words share.
        text_length: most tokens of a text.
    """

    def __init__(self, clip: CLIPModel) -> None:
        super().__init__()
        self.clip = clip
        config: Any = clip.config
        self.similarity_bias = nn.Parameter(torch.tensor(-5.0))
        vision = config.vision_config
        self.grid = int(vision.image_size) // int(vision.patch_size)
        self.embedding_size = int(self.clip.visual_projection.out_features)
        self.text_length = int(config.text_config.max_position_embeddings)

    @property
    def patches(self) -> int:
        """Patches in a picture (grid * grid, row by row from the upper left)."""
        return self.grid * self.grid

    def encode_image(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised picture (b, 3, s, s) -> embeddings of unit length: image (b, e), patches (b, patches, e)."""
        vision = self.clip.vision_model
        states = vision.post_layernorm(vision(pixel_values=pixels).last_hidden_state)
        embeddings = nn.functional.normalize(self.clip.visual_projection(states), dim=-1)
        return embeddings[:, 0], embeddings[:, 1:]

    def encode_text(self, input_ids: Tensor, mask: Tensor) -> Tensor:
        """Right-padded ids and mask (b, t) -> text embedding (b, e) of unit length, read at each text's last token."""
        states = self.clip.text_model(input_ids=input_ids, attention_mask=mask).last_hidden_state
        last = states[torch.arange(len(states), device=states.device), mask.sum(dim=1) - 1]
        return nn.functional.normalize(self.clip.text_projection(last), dim=-1)

    def similarity(self, patches: Tensor, texts: Tensor) -> Tensor:
        """Logits that a patch shows what a text names.

        Args:
            patches: (b, p, e) from `encode_image`.
            texts: (n, e), the same for all pictures, or (b, n, e).

        Returns:
            (b, n, p); its sigmoid is the share of the patch that the thing covers, as trained.
        """
        scale = self.clip.logit_scale.clamp(max=math.log(100.0)).exp()
        return torch.matmul(texts, patches.transpose(1, 2)) * scale + self.similarity_bias
