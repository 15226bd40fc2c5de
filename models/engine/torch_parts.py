"""The parts in torch: lean modules on the model's own weights, eager, compiled, or captured in CUDA graphs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..modeling import VLAModel, plain_dtype
from .history import clip_names
from .lean import LeanClip, LeanConnector, LeanText, LeanVision, pooling_of
from .parts import Prepared


class LeanFusion(nn.Module):
    """Features side by side -> fusion's result; the head's input where nothing is fused."""

    def __init__(self, model: VLAModel) -> None:
        super().__init__()
        self.fusion = model.fusion
        self.names = model.config.features
        self.sizes = [model.feature_sizes[name] for name in self.names]

    def forward(self, features: Tensor) -> Tensor:
        """(1, w) -> (1, f)."""
        if self.fusion is None:
            return features
        return self.fusion(dict(zip(self.names, features.split(self.sizes, dim=-1), strict=True)))  # type: ignore[no-any-return]


class LeanHead(nn.Module):
    """The head over a window, and its newest frame's answer."""

    def __init__(self, model: VLAModel) -> None:
        super().__init__()
        self.head = model.head

    def forward(self, window: Tensor) -> tuple[Tensor, Tensor]:
        """(1, l, f) -> continuous group (chunk, k), probabilities of the binary group (chunk, m)."""
        if self.head is None:
            raise TypeError("a policy that speaks its actions has no head to act with")
        continuous, binary = self.head(window)
        return continuous[0, -1], binary[0, -1].sigmoid()


class TorchParts:
    """Lean modules that share the model's weights.

    Args:
        model: of a policy that `why_not_lean` has nothing against, in evaluation mode.
    """

    def __init__(self, model: VLAModel) -> None:
        kosmos = model.backbone.model
        self.vision = LeanVision(kosmos.vision_model.model).eval()
        self.connector = LeanConnector(kosmos.image_to_text_projection).eval()
        self.text = LeanText(kosmos.text_model.model, pooling_of(model.config)).eval()
        self.towers: LeanClip | None = None
        if model.clip is not None and model.clip.sees:
            self.towers = LeanClip(model.clip, clip_names(model.config)).eval()
        self.fusion, self.head = LeanFusion(model).eval(), LeanHead(model).eval()
        self._vision_dtype, self._text_dtype = plain_dtype(self.vision), model.dtype
        self._clip_dtype = plain_dtype(model.clip) if model.clip is not None else torch.float32
        self._head_dtype = plain_dtype(self.head)

    def refresh(self) -> None:
        """Take changes of the weights over into what was computed from them."""
        self.connector.refresh()

    def see(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """See `Parts.see`."""
        states = self.vision(pixels.to(self._vision_dtype))
        return self.connector(states), states[:, 0]

    def read(self, latents: Tensor, prepared: Prepared) -> Tensor:
        """See `Parts.read`."""
        return self.text(  # type: ignore[no-any-return]
            latents.to(self._text_dtype), prepared.words, prepared.source, prepared.positions, prepared.read
        )

    def clip(self, pixels: Tensor, prepared: Prepared) -> tuple[Tensor, ...]:
        """See `Parts.clip`."""
        if self.towers is None:
            raise TypeError("the policy has no CLIP that looks at pictures")
        return self.towers(pixels.to(self._clip_dtype), prepared.clip_prompts)  # type: ignore[no-any-return]

    def fuse(self, features: Tensor) -> Tensor:
        """See `Parts.fuse`."""
        return self.fusion(features.to(self._head_dtype))  # type: ignore[no-any-return]

    def act(self, window: Tensor) -> tuple[Tensor, Tensor]:
        """See `Parts.act`."""
        return self.head(window)  # type: ignore[no-any-return]
