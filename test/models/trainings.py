"""Training configurations for small data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from tiny import tiny_document

STAGE = {"batch_size": 8, "learning_rate": 0.01, "warmup_steps": 5, "weight_decay": 0.0, "gradient_norm": 1.0}


def document(folder: Path) -> dict[str, Any]:
    """Grounding and imitation of views and bags in a folder."""
    return {
        "seed": 0,
        "threads": 1,
        "workers": 0,
        "output": str(folder / "out"),
        "checkpoint_every": 50,
        "precision": "fp32",
        "parallel": "ddp",
        "sources": [
            {
                "type": "rosbag2",
                "path": str(folder / "bags"),
                "cameras": {"front": "/camera/image_raw"},
                "instruction": {"type": "topic", "stop_sentences": "keep"},
            }
        ],
        "start": {"type": "scratch", "vocab_size": 300, "policy": tiny_document()},
        "grounding": {
            "views": str(folder / "views"),
            "validation_views": 4,
            "instructions_per_view": 2,
            "absent_share": 0.2,
            "clip": {**STAGE, "steps": 150},
            "kosmos2": {**STAGE, "steps": 10},
        },
        "imitation": {
            "validation_share": 0.2,
            "validation_frames": 100,
            "validate_every": 250,
            "patience": None,
            "trainable": None,
            "task": {"weight": 1.0, "loss": "huber", "binary_weight": 0.5},
            "balance": None,
            "augmentation": None,
            "looks": 0,
            "optimizer": {**STAGE, "steps": 250},
        },
    }


FROZEN = {
    "decoder": "none",
    **dict.fromkeys(("embeddings", "language_head", "vision", "connector", "resampler", "clip"), False),
    "lora": None,
    "gradient_checkpointing": False,
}


def live(content: dict[str, Any], steps: int, **trainable: Any) -> dict[str, Any]:
    """The same without grounding, on pictures."""
    imitation = {
        **content["imitation"],
        "trainable": {**FROZEN, **trainable},
        "validate_every": steps,
        "optimizer": {**STAGE, "steps": steps},
    }
    return {**content, "grounding": None, "imitation": imitation}


def write(folder: Path, content: dict[str, Any]) -> Path:
    path = folder / "train.yaml"
    path.write_text(yaml.safe_dump(content))
    return path
