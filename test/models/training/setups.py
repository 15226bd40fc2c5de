"""Small models, and what is to train of them."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import torch
from tiny import tiny_document
from torch import Tensor

from mobile_vla_models.configuration import PolicyConfig
from mobile_vla_models.modeling import VLAModel, initialise
from mobile_vla_models.training.tasks import TasksConfig
from mobile_vla_models.training.trainable import TrainableConfig

FAMILIES: dict[str, dict[str, Any]] = runpy.run_path(str(Path(__file__).parents[1] / "backbone" / "families.py"))[
    "FAMILIES"
]
LORA = {"rank": 2, "alpha": 4.0, "dropout": 0.0, "groups": ["decoder"]}
ACTION = {"weight": 1.0, "loss": "huber", "binary_weight": 0.1}
SPOKEN = {"weight": 1.0, "loss": None, "binary_weight": None}
DISCRETE = {"head": {"type": "discrete", "bins": 32, "end": 300}, "readout": None}


def document(family: str = "kosmos2", **changes: Any) -> dict[str, Any]:
    """A policy of a family, with two blocks, without CLIP and fusion."""
    made: Any = tiny_document()
    found = FAMILIES[family]
    made |= {"window": 3, "chunk": 2, "clip": None, "fusion": None, "prompt": found["prompt"]}
    made["image"]["size"] = found["image_size"]
    made["backbone"] = {"type": found["backbone"], "config": found["config"], "language_head": False}
    for key, value in changes.items():
        if key == "language_head":
            made["backbone"]["language_head"] = value
        else:
            made[key] = value
    return made


def build(made: dict[str, Any] | None = None, seed: int = 0) -> VLAModel:
    return initialise(PolicyConfig.model_validate(document() if made is None else made), seed)


def full_document() -> dict[str, Any]:
    """A policy with every part there is."""
    made = document(language_head=True)
    tiny: Any = tiny_document()
    made |= {
        "clip": tiny["clip"],
        "fusion": tiny["fusion"],
        "state": [{"name": "linear_x", "unit": "m/s", "mean": 0.1, "std": 0.5}],
        "prompt": "<s>{front}<grounding>{instruction}{state}{action}</s>",
        "resampler": {"latents": 2, "depth": 1, "heads": 2, "head_dim": 8, "ff_mult": 2},
    }
    made["clip"]["config"]["vision_config"]["image_size"] = made["image"]["size"]
    return made


def trainable(**changes: Any) -> TrainableConfig:
    """Everything frozen but for `changes`."""
    frozen = dict.fromkeys(("embeddings", "language_head", "vision", "connector", "resampler", "clip"), False)
    config = {"decoder": "none", **frozen, "lora": None, "gradient_checkpointing": False}
    return TrainableConfig.model_validate({**config, **changes})


def tasks(**changes: Any) -> TasksConfig:
    return TasksConfig.model_validate({"action": ACTION, "vision_language": None, **changes})


def training(model: VLAModel) -> set[str]:
    """Names of the parameters that require a gradient."""
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def gradients(model: VLAModel) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def move_adapters(model: VLAModel) -> None:
    """Adapters begin as no change; after this they are one."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
