"""A run on an engine's parts: each frame once through the towers, the window replayed from features."""

from __future__ import annotations

from collections import deque

import torch
from torch import Tensor

from ..configuration import PolicyConfig
from ..preprocessing import normalise
from .parts import Parts, Prepared


class LeanHistory:
    """One run under one instruction, with history "post" or "none".

    Args:
        config: of the policy.
        parts: that compute.
        prepared: the instruction.
    """

    def __init__(self, config: PolicyConfig, parts: Parts, prepared: Prepared) -> None:
        self.config, self.parts, self.prepared = config, parts, prepared
        self._fused: deque[Tensor] = deque(maxlen=config.window)
        self._shows_backbone = any(name.startswith("backbone") for name in config.features)
        self._clip_names = clip_names(config)

    @torch.inference_mode()
    def step(self, pictures: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """Take the next frame; as `History.step`."""
        parts, prepared = self.parts, self.prepared
        # One preprocessing for both vision towers.
        pixels = normalise(pictures, self.config.image)
        features: dict[str, Tensor] = dict(prepared.clip_text)
        if self._shows_backbone:
            latents, pooled = parts.see(pixels)
            features["backbone_image"] = latents[:1].mean(dim=1)
            features["backbone_vision"] = pooled[:1]
            if "backbone" in self.config.features:
                placed = latents.index_select(0, prepared.cameras).flatten(0, 1).unsqueeze(0)
                features["backbone"] = parts.read(placed, prepared)
        if self._clip_names:
            features |= dict(zip(self._clip_names, parts.clip(pixels[:1], prepared), strict=True))
        side_by_side = torch.cat([features[name].float() for name in self.config.features], dim=-1)
        self._fused.append(parts.fuse(side_by_side))
        return parts.act(torch.stack(list(self._fused), dim=1))


def clip_names(config: PolicyConfig) -> tuple[str, ...]:
    """Those of the fused features that CLIP's vision tower gives, in their order."""
    return tuple(name for name in config.features if name.startswith("clip_image") or name == "clip_similarity")
