"""Policies of every kind, small enough to build in a test: any family of backbones, any head, any history."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import torch
from backbone.families import FAMILIES
from numpy.typing import NDArray
from tiny import tiny_document
from transformers import PreTrainedTokenizerBase

from mobile_vla_models.configuration import PolicyConfig
from mobile_vla_models.engine.torch_engine import TorchEngine
from mobile_vla_models.instruction import InstructionEncoder
from mobile_vla_models.modeling import Observation, initialise
from mobile_vla_models.policy import VLAPolicy
from mobile_vla_models.policy_directory import PolicyParts
from mobile_vla_models.text import train_tokenizer

HEADS: dict[str, dict[str, Any]] = {
    "lstm": {"type": "lstm", "hidden_size": 16, "num_layers": 1, "dropout": 0.0, "mlp": [16, "relu"], "squash": "tanh"},
    "gpt": {
        "type": "gpt",
        "hidden_size": 16,
        "num_layers": 1,
        "num_heads": 2,
        "dropout": 0.0,
        "mlp": [16, "relu"],
        "squash": "tanh",
    },
    "fc": {"type": "fc", "hidden_size": 16, "mlp": [16, "relu"], "squash": "tanh"},
    "discrete": {"type": "discrete", "bins": 9, "end": 310},
}
TOKENS = {"type": "action_token", "tokens": 1}
SENTENCES = ["go to the red box", "go to the red ball", "drive to the blue cone", "turn left now", "stop"]


def document(family: str, head: str, history: str, **changes: Any) -> dict[str, Any]:
    """A PolicyConfig as a plain document; `changes` replace keys of its top level."""
    kind = FAMILIES[family]
    discrete = head == "discrete"
    return {
        **tiny_document(),
        "window": 1 if history == "none" else 3,
        "chunk": 2,
        "image": {
            "size": kind["image_size"],
            "mean": [0.5, 0.5, 0.5],
            "std": [0.25, 0.25, 0.25],
            "interpolation": "area",
        },
        "prompt": kind["prompt"],
        "history": history,
        "backbone": {"type": kind["backbone"], "config": kind["config"], "language_head": discrete},
        "readout": None if discrete else TOKENS,
        "clip": None,
        "fusion": None,
        "head": HEADS[head],
        **changes,
    }


def tokenizer_for(prompt: str) -> PreTrainedTokenizerBase:
    """A small tokenizer that knows the prompt's special tokens."""
    tokenizer = train_tokenizer(SENTENCES, vocab_size=300, max_length=64)
    tokenizer.add_tokens(sorted(set(re.findall(r"<[^<>\s]+>", prompt))), special_tokens=True)
    return tokenizer


def build(content: dict[str, Any], seed: int = 0) -> VLAPolicy:
    """A policy with random weights, its small tokenizer trained on `SENTENCES`."""
    config = PolicyConfig.model_validate(content)
    tokenizer = tokenizer_for(config.prompt)
    encoder = InstructionEncoder(config, tokenizer, tokenizer if config.clip is not None else None)
    model = initialise(config, seed)
    with torch.no_grad():
        for weight in model.parameters():
            # Gemma 3's projection of pictures begins at zero: nothing could be seen through it.
            if weight.ndim > 1 and not bool(weight.any()):
                weight.normal_(std=0.5, generator=torch.Generator().manual_seed(seed))
    return VLAPolicy(PolicyParts(config, model, encoder))


def pictures(config: PolicyConfig, batch: int, length: int, seed: int = 0) -> NDArray[np.uint8]:
    """Random pictures in patches of colour, uint8 (b, l, c, s, s, 3)."""
    rng = np.random.default_rng(seed)
    side = config.image.size
    coarse = rng.integers(0, 256, (batch, length, len(config.cameras), 4, 4, 3), dtype=np.uint8)
    return coarse.repeat(-(-side // 4), axis=3).repeat(-(-side // 4), axis=4)[..., :side, :side, :]


def observe(config: PolicyConfig, batch: int, length: int, seed: int = 0) -> Observation:
    """A random observation."""
    state = None
    if config.state:
        generator = torch.Generator().manual_seed(seed)
        state = torch.randn(batch, length, len(config.state), generator=generator)
    return Observation(torch.from_numpy(np.ascontiguousarray(pictures(config, batch, length, seed))), state)


def unwidened(policy: VLAPolicy) -> VLAPolicy:
    """The policy as a device computes it that knows its precision, where this processor only emulates it."""
    policy.engine = TorchEngine(policy.model, widen=False)
    return policy
