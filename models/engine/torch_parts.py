"""The parts in torch: lean modules on the model's own weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..modeling import VLAModel, plain_dtype
from .history import clip_names
from .lean import LeanClip, LeanConnector, LeanText, LeanVision, pooling_of
from .parts import Prepared
from .widened import Module, Widening, is_emulated


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
        widen: compute in float32 what the processor only emulates.
    """

    def __init__(self, model: VLAModel, *, widen: bool = True) -> None:
        kosmos = model.backbone.model
        self._widening = Widening()
        self._device, self._widen = model.device, widen
        self._vision_dtype = self._computed_in(kosmos.vision_model)
        self._text_dtype = self._computed_in(kosmos.text_model.model.layers)
        self._head_dtype = torch.float32 if model.head is None else self._computed_in(model.head)
        self._clip_dtype = torch.float32 if model.clip is None else self._computed_in(model.clip)
        self._kept = self._own(LeanConnector(kosmos.image_to_text_projection))
        self.vision: nn.Module = self._own(LeanVision(kosmos.vision_model.model))
        self.connector: nn.Module = self._kept
        self.text: nn.Module = self._own(LeanText(kosmos.text_model.model, pooling_of(model.config)))
        self.towers: nn.Module | None = None
        if model.clip is not None and model.clip.sees:
            self.towers = self._own(LeanClip(model.clip, clip_names(model.config)))
        self.fusion, self.head = self._own(LeanFusion(model)), self._own(LeanHead(model))
        self._kept.refresh()

    def _emulated(self, module: nn.Module) -> bool:
        return self._widen and is_emulated(plain_dtype(module), self._device)

    def _computed_in(self, module: nn.Module) -> torch.dtype:
        return torch.float32 if self._emulated(module) else plain_dtype(module)

    def _own(self, module: Module) -> Module:
        """A lean module as it is to run here."""
        module.eval()
        there = any(parameter.is_floating_point() for parameter in module.parameters())
        return self._widening.widened(module) if there and self._emulated(module) else module

    def refresh(self) -> None:
        """Take changes of the weights over into what was computed from them."""
        self._widening.refresh()
        self._kept.refresh()

    def see(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """See `Parts.see`."""
        states = self.vision(pixels.to(self._vision_dtype))
        return self.connector(states), states[:, 0]

    def read(self, latents: Tensor, prepared: Prepared) -> Tensor:
        """See `Parts.read`."""
        return self.text(  # type: ignore[no-any-return]
            latents.to(self._text_dtype),
            prepared.words.to(self._text_dtype),
            prepared.source,
            prepared.positions.to(self._text_dtype),
            prepared.read,
        )

    def clip(self, pixels: Tensor, prepared: Prepared) -> tuple[Tensor, ...]:
        """See `Parts.clip`."""
        if self.towers is None:
            raise TypeError("the policy has no CLIP that looks at pictures")
        return self.towers(pixels.to(self._clip_dtype), prepared.clip_prompts.to(self._clip_dtype))  # type: ignore[no-any-return]

    def fuse(self, features: Tensor) -> Tensor:
        """See `Parts.fuse`."""
        return self.fusion(features.to(self._head_dtype))  # type: ignore[no-any-return]

    def act(self, window: Tensor) -> tuple[Tensor, Tensor]:
        """See `Parts.act`."""
        return self.head(window)  # type: ignore[no-any-return]
