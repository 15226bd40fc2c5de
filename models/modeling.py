"""The model: Kosmos-2 and CLIP features of each frame -> fusion -> LSTM over the window -> chunk of actions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import CLIPConfig, Kosmos2Config

from .backbone.clip import ClipGrounding
from .backbone.kosmos2 import Kosmos2ActionToken
from .configuration import PolicyConfig
from .fusion import FeatureFusion
from .head import LSTMHead
from .preprocessing import normalise


@dataclass(frozen=True)
class EncodedInstruction:
    """What the words come to, computed once per instruction (batch b, the same for every frame of a run).

    Attributes:
        input_ids, mask: int64 (b, t), the prompt for Kosmos-2, right-padded.
        text: (b, e), CLIP embedding of the instruction, unit length.
        prompts: (b, n, e), CLIP embeddings of the similarity prompts, unit length.
    """

    input_ids: Tensor
    mask: Tensor
    text: Tensor
    prompts: Tensor


class VLAModel(nn.Module):
    """Weights and computation of a policy; knows tensors only, no files and no strings."""

    def __init__(self, config: PolicyConfig) -> None:
        super().__init__()
        self.config = config
        self.kosmos2 = Kosmos2ActionToken(Kosmos2Config(**config.kosmos2))
        self.clip = ClipGrounding(CLIPConfig(**config.clip))
        self.fusion = FeatureFusion(config.fusion, self.feature_sizes)
        self.head = LSTMHead(
            in_features=config.fusion.hidden_size,
            hidden_size=config.head.hidden_size,
            num_layers=config.head.num_layers,
            mlp=config.head.mlp,
            chunk=config.chunk,
            continuous=len(config.action.continuous),
            binary=len(config.action.binary),
        )

    @property
    def feature_sizes(self) -> dict[str, int]:
        """Width of every feature that a frame can have, by name."""
        return {
            "kosmos2_action_token": self.kosmos2.feature_size,
            "clip_image": self.clip.embedding_size,
            "clip_text": self.clip.embedding_size,
            "clip_similarity": self.clip.patches * len(self.config.similarity_prompts),
        }

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.fusion.norm.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the weights."""
        return self.fusion.norm.weight.dtype

    def frame_features(self, pictures: Tensor, instruction: EncodedInstruction) -> dict[str, Tensor]:
        """Features of frames, one instruction each; only those that the fusion asks for are computed.

        Args:
            pictures: uint8 (b, size, size, 3), already resized.
            instruction: batch b, or 1 for all frames.

        Returns:
            By feature name, float (b, size of the feature).
        """
        wanted = self.config.fusion.features
        pixels = normalise(pictures, self.config.image).to(self.dtype)
        batch = len(pixels)
        features: dict[str, Tensor] = {}
        if "kosmos2_action_token" in wanted:
            ids, mask = instruction.input_ids.expand(batch, -1), instruction.mask.expand(batch, -1)
            features["kosmos2_action_token"] = self.kosmos2.read_action(self.kosmos2.encode_image(pixels), ids, mask)
        if "clip_image" in wanted or "clip_similarity" in wanted:
            image, patches = self.clip.encode_image(pixels)
            features["clip_image"] = image
            features["clip_similarity"] = self.clip.similarity(patches, instruction.prompts).sigmoid().flatten(1)
        features["clip_text"] = instruction.text.expand(batch, -1)
        return {name: features[name] for name in wanted}

    def act(self, features: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Features over a window, each (b, l, size) -> what `LSTMHead` gives: continuous group and binary logits."""
        return self.head(self.fusion(features))  # type: ignore[no-any-return]

    def parameter_count(self) -> int:
        """Number of parameters, all parts."""
        return sum(parameter.numel() for parameter in self.parameters())


def initialise(config: PolicyConfig, seed: int) -> VLAModel:
    """A model with freshly drawn weights, the same for the same seed; torch's global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return VLAModel(config)
