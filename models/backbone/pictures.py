"""Pictures as `get_image_features` of transformers' models takes them, and as it gives them back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import Parameter
from typing import Any

import torch
from torch import Tensor

from ..errors import BackboneError

KNOWN_PARAMETERS = ("pixel_values", "pixel_attention_mask", "image_sizes", "image_grid_thw")


def check_parameters(name: str, parameters: Mapping[str, Parameter]) -> None:
    """Raise BackboneError if `get_image_features` of the model `name` asks for what is not known here."""
    if "pixel_values" not in parameters:
        raise BackboneError(f"{name}.get_image_features takes no pixel_values, but {', '.join(parameters)}")
    for parameter in parameters.values():
        if _is_required(parameter) and parameter.name not in KNOWN_PARAMETERS:
            raise BackboneError(
                f"{name}.get_image_features asks for {parameter.name}; known: {', '.join(KNOWN_PARAMETERS)}"
            )


def picture_arguments(parameters: Mapping[str, Parameter], vision: Any, pixels: Tensor) -> dict[str, Any]:
    """Arguments of `get_image_features`.

    Args:
        parameters: of its signature, checked.
        vision: transformers' configuration of the vision tower.
        pixels: (n, 3, s, s), normalised.
    """
    count, _, height, width = pixels.shape
    arguments: dict[str, Any] = {"pixel_values": pixels}
    if "image_grid_thw" in parameters:
        arguments["pixel_values"] = flatten_patches(pixels, vision)
        grid = torch.tensor([1, height // vision.patch_size, width // vision.patch_size], device=pixels.device)
        arguments["image_grid_thw"] = grid.expand(count, 3)
    elif "pixel_attention_mask" in parameters:  # Idefics 2, Idefics 3, SmolVLM: samples of one picture
        arguments["pixel_values"] = pixels.unsqueeze(1)
    sizes = parameters.get("image_sizes")
    # Pixtral's tower lays all pictures into one sequence, and LLaVA takes it apart only where it is told the sizes.
    if vision.model_type == "pixtral" or (sizes is not None and _is_required(sizes)):
        arguments["image_sizes"] = [(height, width)] * count
    return arguments


def flatten_patches(pixels: Tensor, vision: Any) -> Tensor:
    """Pictures (n, 3, s, s) -> patches (n * (s / p)**2, 3 * t * p**2), as the image processor of Qwen2-VL makes them.

    Patches that are merged into one token stand side by side; a picture stands for t frames of a video.

    Raises:
        BackboneError: the side is no multiple of patches times merge size.
    """
    count, channels, height, width = pixels.shape
    patch, merge, frames = vision.patch_size, vision.spatial_merge_size, vision.temporal_patch_size
    if height % (patch * merge) or width % (patch * merge):
        raise BackboneError(f"pictures of {height} x {width}, expected multiples of {patch * merge}")
    rows, columns = height // (patch * merge), width // (patch * merge)
    blocks = pixels.reshape(count, channels, rows, merge, patch, columns, merge, patch)
    blocks = blocks.permute(0, 2, 5, 3, 6, 1, 4, 7).unsqueeze(6).expand(-1, -1, -1, -1, -1, -1, frames, -1, -1)
    return blocks.reshape(count * rows * columns * merge**2, channels * frames * patch**2)


def gather_features(features: Tensor | Sequence[Tensor], count: int) -> Tensor:
    """What `get_image_features` gave for n pictures of the same size, a tensor or a list of tensors -> (n, q, w).

    Raises:
        BackboneError: not one entry per picture, or pictures with different numbers of tokens.
    """
    if isinstance(features, Tensor):
        batch = features
    else:
        shapes = [tuple(part.shape) for part in features]
        if len(set(shapes)) > 1:
            raise BackboneError(f"features of equal pictures differ in shape: {shapes}")
        batch = torch.stack(list(features))
    # transformers before 5.20 gives pictures one after the other, or their rows and columns, for some models.
    if batch.ndim == 2 and len(batch) % count == 0:
        batch = batch.unflatten(0, (count, -1))
    elif batch.ndim == 4:
        batch = batch.flatten(1, 2)
    if batch.ndim != 3 or len(batch) != count:
        raise BackboneError(f"features of {count} pictures are of shape {tuple(batch.shape)}, expected ({count}, q, w)")
    return batch


def encode_base_tile(model: Any, config: Any, pixels: Tensor) -> Tensor:
    """Features of whole pictures for a LLaVA that otherwise also cuts them into tiles (LLaVA-NeXT, -OneVision).

    As such a model treats a picture that has one tile: its patches, and the embedding that ends a line.

    Args:
        model: has `vision_tower`, `multi_modal_projector` and `image_newline`.
        config: has `vision_feature_layer` and `vision_feature_select_strategy`.
        pixels: (n, 3, s, s), normalised.

    Returns:
        (n, q, hidden_size).
    """
    states = model.vision_tower(pixels, output_hidden_states=True).hidden_states
    layers = config.vision_feature_layer
    picked = torch.cat([states[layer] for layer in ([layers] if isinstance(layers, int) else layers)], dim=-1)
    if config.vision_feature_select_strategy == "default":
        picked = picked[:, 1:]
    features: Tensor = model.multi_modal_projector(picked)
    if model.image_newline is None:
        return features
    newline = model.image_newline.to(features.dtype).expand(len(features), 1, -1)
    return torch.cat([features, newline], dim=1)


def _is_required(parameter: Parameter) -> bool:
    return parameter.default is Parameter.empty and parameter.kind not in (
        Parameter.VAR_KEYWORD,
        Parameter.VAR_POSITIONAL,
    )
