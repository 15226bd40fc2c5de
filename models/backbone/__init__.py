"""Vision-language models as backbones of a policy: one small interface, a registry by name."""

from __future__ import annotations

from .base import Backbone, DecoderCache
from .generic import GenericBackbone
from .idefics import IdeficsBackbone
from .kosmos2 import Kosmos2Backbone
from .llava import LlavaBackbone
from .paligemma import PaliGemmaBackbone
from .registry import backbone_configuration, build_backbone, find_backbone, register_backbone, registered_backbones

__all__ = [
    "Backbone",
    "DecoderCache",
    "GenericBackbone",
    "IdeficsBackbone",
    "Kosmos2Backbone",
    "LlavaBackbone",
    "PaliGemmaBackbone",
    "backbone_configuration",
    "build_backbone",
    "find_backbone",
    "register_backbone",
    "registered_backbones",
]
