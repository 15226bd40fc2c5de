"""The policy that is measured: Kosmos-2's own vision tower width and depth cut down, its vocabulary kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..configuration import PolicyConfig
from ..modeling import EncodedInstruction, VLAModel, initialise
from ..prompt import EncodedPrompt, parse_prompt

PARTS = "Kosmos-2: decoder 6 x 1024, vision 6 x 512 at 224 pixels, 64 latents, vocabulary 65,037"
MLP = [1024, "relu", 512, "relu", 256, "relu"]
PROMPT = "{front}{instruction}{action}"
WORDS = 15  # tokens of the prompt's text


@dataclass(frozen=True)
class Subject:
    """A model with an instruction and a way to draw frames."""

    model: VLAModel
    instruction: EncodedInstruction

    def frames(self, count: int) -> Tensor:
        """Random pictures, uint8 (count, 1, s, s, 3)."""
        size = self.model.config.image.size
        rng = np.random.default_rng(0)
        return torch.from_numpy(rng.integers(0, 256, (count, 1, size, size, 3), dtype=np.uint8))


def subject(head: str, history: str, window: int = 8) -> Subject:
    """A policy with random weights: `head` lstm or discrete."""
    discrete = head == "discrete"
    config = PolicyConfig.model_validate(
        {
            "schema_version": 3,
            "dt": 0.2,
            "window": 1 if history == "none" else window,
            "chunk": 8,
            "action": {
                "continuous": [
                    {"name": "linear_x", "unit": "m/s", "minimum": -0.6, "maximum": 0.6},
                    {"name": "angular_z", "unit": "rad/s", "minimum": -1.2, "maximum": 1.2},
                ],
                "binary": ["stop"],
                "limits": None,
            },
            "cameras": ["front"],
            "image": {"size": 224, "mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "area"},
            "state": [],
            "prompt": PROMPT,
            "history": history,
            "backbone": {"type": "kosmos2", "config": _kosmos2(), "language_head": discrete},
            "resampler": None,
            "readout": None if discrete else {"type": "action_token", "tokens": 1},
            "clip": None,
            "fusion": None,
            "head": {"type": "discrete", "bins": 256, "end": 65037}
            if discrete
            else {"type": "lstm", "hidden_size": 1024, "num_layers": 4, "dropout": 0.0, "mlp": MLP, "squash": "tanh"},
            "precision": {"vision": "fp32", "text": "fp32", "clip": "fp32", "head": "fp32"},
        }
    )
    ids = torch.arange(3, 3 + WORDS).unsqueeze(0)
    parts = parse_prompt(PROMPT, ("front",), has_state=False, has_action=True)
    prompt = EncodedPrompt(parts, ids, torch.zeros_like(ids, dtype=torch.bool), ((WORDS,),))
    return Subject(initialise(config, 0).eval(), EncodedInstruction(prompt, {}, None))


def _kosmos2() -> dict[str, Any]:
    return {
        "model_type": "kosmos-2",
        "latent_query_num": 64,
        "vision_config": {
            "image_size": 224,
            "patch_size": 14,
            "hidden_size": 512,
            "intermediate_size": 2048,
            "num_hidden_layers": 6,
            "num_attention_heads": 8,
        },
        "text_config": {
            "vocab_size": 65037,
            "max_position_embeddings": 2048,
            "embed_dim": 1024,
            "layers": 6,
            "ffn_dim": 4096,
            "attention_heads": 16,
        },
    }
