"""What each model's own forward wants for the sequence that a backbone runs over."""

from __future__ import annotations

from typing import Any

import torch
from families import IMAGE_TOKEN_ID
from sequences import Example
from torch import Tensor

from mobile_vla_models.backbone import Backbone
from mobile_vla_models.sequence import ACTION_TOKEN, IMAGE_TOKEN, PADDING


def run_native(backbone: Backbone, example: Example) -> tuple[Tensor, Tensor]:
    """Last hidden states and logits, (b, L, d) and (b, L, v), of the model itself."""
    output = backbone.model(**_inputs(backbone, example), output_hidden_states=True)
    states = output.language_model_outputs.hidden_states if "language_model_outputs" in output else output.hidden_states
    return states[-1], output.logits


def _inputs(backbone: Backbone, example: Example) -> dict[str, Any]:
    layout = example.sequence.layout
    is_image = layout.kinds == IMAGE_TOKEN
    pixels = example.pixels.flatten(0, 1)
    side = pixels.shape[-1]
    inputs: dict[str, Any] = {
        "input_ids": torch.where(is_image, IMAGE_TOKEN_ID, example.ids),
        "attention_mask": (layout.kinds != PADDING).long(),
        "pixel_values": pixels,
    }
    model_type = backbone.model.config.model_type
    vision: Any = backbone.model.config.vision_config
    if model_type == "kosmos-2":
        inputs["image_embeds_position_mask"] = is_image.long()
    elif model_type == "idefics":
        inputs["pixel_values"] = example.pixels
        # With one frame: the pictures seen so far.
        inputs["image_attention_mask"] = (torch.arange(example.pixels.shape[1]) < layout.seen.unsqueeze(-1)).long()
    elif model_type in ("smolvlm", "idefics2", "idefics3"):
        inputs["pixel_values"] = example.pixels
    elif model_type in ("llava_next", "llava_onevision"):
        # A grid of no tiles leaves the whole picture alone.
        backbone.model.config.image_grid_pinpoints = [[0, 0]]
        inputs["pixel_values"] = pixels.unsqueeze(1)
        inputs["image_sizes"] = torch.tensor([[side, side]] * len(pixels))
    elif vision.model_type == "pixtral":
        inputs["image_sizes"] = torch.tensor([[side, side]] * len(pixels))
    elif model_type.startswith(("qwen", "glm4v")):
        inputs["pixel_values"] = torch.cat([_patches_one_by_one(picture, vision) for picture in pixels])
        grid = [1, side // vision.patch_size, side // vision.patch_size]
        inputs["image_grid_thw"] = torch.tensor([grid] * len(pixels))
        inputs["mm_token_type_ids"] = is_image.long()
    elif model_type == "gemma3":
        inputs["token_type_ids"] = is_image.long()
    elif model_type == "paligemma":
        begun = (layout.kinds == ACTION_TOKEN).cumsum(dim=1) > 0
        inputs["token_type_ids"] = begun.long()
    return inputs


def _patches_one_by_one(picture: Tensor, vision: Any) -> Tensor:
    """Patches of (3, s, s) in the order of Qwen2-VL's merger: blocks row by row, patches in a block row by row."""
    patch, merge = vision.patch_size, vision.spatial_merge_size
    blocks = picture.shape[1] // (patch * merge)
    rows = []
    for block_row in range(blocks):
        for block_column in range(blocks):
            for inner_row in range(merge):
                for inner_column in range(merge):
                    y, x = (block_row * merge + inner_row) * patch, (block_column * merge + inner_column) * patch
                    one = picture[:, y : y + patch, x : x + patch]
                    rows.append(torch.stack([one] * vision.temporal_patch_size, dim=1).flatten())
    return torch.stack(rows)
