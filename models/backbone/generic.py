"""Any vision-language model that follows transformers' conventions."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from ..errors import BackboneError
from ..sequence import IMAGE_TOKEN, Sequence
from .base import Backbone, picture_of
from .mrope import mrope_positions
from .pictures import check_parameters, encode_base_tile, gather_features, picture_arguments
from .registry import register_backbone

_OWN_BACKBONE = {"kosmos-2": "kosmos2", "paligemma": "paligemma", "idefics": "idefics"}


@register_backbone("generic")
class GenericBackbone(Backbone):
    """An `AutoModelForImageTextToText` whose parts are found by convention.

    `get_input_embeddings()`, `get_decoder()`, `get_encoder(modality="image")` and `get_image_features()` name the
    parts. A picture is one square tile. Three-dimensional positions follow from an `mrope_section` in the decoder's
    rope parameters, picture tokens that see each other from `token_type_ids` in the model's `forward` (Gemma 3), and
    features that enter at deeper layers (Qwen3-VL's deepstack) from what `get_image_features` gives.
    """

    @property
    @override
    def word_embedding(self) -> nn.Embedding:
        return self.model.get_input_embeddings()  # type: ignore[no-any-return]

    @property
    @override
    def text_tower(self) -> nn.Module:
        return self.model.get_decoder()  # type: ignore[no-any-return]

    @property
    @override
    def vision_tower(self) -> nn.Module:
        return self.model.get_encoder(modality="image")  # type: ignore[no-any-return]

    @property
    @override
    def image_size(self) -> int | None:
        size = getattr(self._vision_config, "image_size", None)
        if isinstance(size, (list, tuple)):
            size = size[0]
        return None if size is None or "image_grid_thw" in self._arguments_asked else int(size)

    @override
    def encode_images(self, pixels: Tensor) -> Tensor:
        """(n, 3, s, s) -> (n, q, hidden_size * (1 + deeper layers that features enter at))."""
        if hasattr(self.model.config, "image_grid_pinpoints"):
            return encode_base_tile(self.model.base_model, self.model.config, pixels)
        arguments = picture_arguments(self._arguments_asked, self._vision_config, pixels)
        output = self.model.base_model.get_image_features(**arguments, return_dict=True)
        features = [output.pooler_output, *(getattr(output, "deepstack_features", None) or ())]
        return torch.cat([gather_features(part, len(pixels)) for part in features], dim=-1)

    @override
    def attention_blocks(self, sequence: Sequence) -> Tensor | None:
        """A picture's tokens see each other where the model marks them by `token_type_ids`."""
        return picture_of(sequence) if self._marks_pictures else None

    @override
    def positions(self, sequence: Sequence, start: Tensor) -> tuple[Tensor, Tensor]:
        rope = getattr(self.text_config, "rope_parameters", None)
        if isinstance(rope, dict) and "mrope_section" in rope:
            return mrope_positions(sequence.layout, start)
        return super().positions(sequence, start)

    @override
    def decode(self, sequence: Sequence, **arguments: Any) -> Tensor:
        width = self.hidden_size
        deeper = sequence.images[..., width:].flatten(1, 2)
        if deeper.numel():
            visual = sequence.layout.kinds == IMAGE_TOKEN
            place = (visual.cumsum(dim=1) - 1).clamp(min=0)
            features = deeper.gather(1, place.unsqueeze(-1).expand(-1, -1, deeper.shape[2]))[visual]
            arguments["visual_pos_masks"] = visual
            arguments["deepstack_visual_embeds"] = list(features.split(width, dim=-1))
        return super().decode(sequence, **arguments)

    @override
    def check(self) -> None:
        name = type(self.model).__name__
        own = _OWN_BACKBONE.get(self.model.config.model_type)
        if own is not None:
            raise BackboneError(f"{name} differs from the convention: its backbone is {own!r}, not 'generic'")
        if self.model.config.is_encoder_decoder:
            raise BackboneError(f"{name} is an encoder and a decoder; a backbone is one decoder over all tokens")
        if not hasattr(self.model.base_model, "get_image_features"):
            raise BackboneError(f"{name} has no get_image_features")
        if getattr(self.model.config, "vision_config", None) is None:
            raise BackboneError(f"{name}.config has no vision_config")
        for part in ("text_tower", "vision_tower"):
            # Where transformers finds no such part, it gives the model itself.
            if getattr(self, part) in (self.model, self.model.base_model):
                raise BackboneError(f"{name} has no {part} under a conventional name")
        if getattr(self.text_config, "hidden_size_per_layer_input", None):
            raise BackboneError(f"{name} looks up token ids in every layer; its decoder is more than its embeddings")
        super().check()
        check_parameters(name, self._arguments_asked)
        if hasattr(self.model.config, "image_grid_pinpoints"):
            for part in ("vision_tower", "multi_modal_projector", "image_newline"):
                if not hasattr(self.model.base_model, part):
                    raise BackboneError(f"{name} cuts pictures into tiles and has no {part}")

    @property
    def _vision_config(self) -> Any:
        return self.model.config.vision_config

    @cached_property
    def _marks_pictures(self) -> bool:
        return "token_type_ids" in inspect.signature(self.model.forward).parameters

    @cached_property
    def _arguments_asked(self) -> Mapping[str, inspect.Parameter]:
        return inspect.signature(self.model.base_model.get_image_features).parameters
