"""Weights and inputs of the recorded cases, from names and shapes alone: the recording and the tests compute the same.

Numbers come from integers by splitmix64 (Steele et al., 2014), so that they are the same on every machine, bit for bit.
Needs numpy only: the peer framework's environment imports this file too.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
SENTENCE = "push the red block"
TRAINING_SENTENCES = ("lift the blue block", "open the green drawer")
BATCH = 2


def uniform(name: str, shape: Sequence[int]) -> NDArray[np.float64]:
    """Numbers in [0, 1)."""
    index = np.arange(math.prod(shape), dtype=np.uint64)
    seed = zlib.crc32(name.encode()) * 0xD1B54A32D192ED03 % 2**64
    with np.errstate(over="ignore"):
        z = index * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return ((z >> np.uint64(40)).astype(np.float64) / 2.0**24).reshape(shape)


def weight(name: str, shape: Sequence[int]) -> NDArray[np.float32]:
    """A tensor of the peer's state dict, by its name without adapters and containers."""
    name = name.replace(".base_layer.", ".").replace("text_model.lm_head.", "text_model.model.embed_tokens.")
    drawn = math.sqrt(3.0) * (2.0 * uniform(name, shape) - 1.0)  # variance 1
    values = (_offset(name, shape) + _scale(name, shape) * drawn).astype(np.float32)
    if "embed_tokens" in name:
        values[1] = 0.0  # padding
    return values


def pictures(name: str, shape: Sequence[int]) -> NDArray[np.uint8]:
    """Pictures, (..., h, w, 3)."""
    return np.floor(256.0 * uniform(name, shape)).astype(np.uint8)


def pixels(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Pictures as the peer's preprocessing gives them, (..., 3, h, w)."""
    scaled = images.astype(np.float32) / np.float32(255.0)
    normal = (scaled - np.array(CLIP_MEAN, np.float32)) / np.array(CLIP_STD, np.float32)
    return np.ascontiguousarray(np.moveaxis(normal, -1, -3))


def training_labels(case: str, window: int, chunk: int) -> dict[str, NDArray[Any]]:
    """Labels of a batch: continuous (b, l, chunk, 6) in [-1, 1], binary (b, l, chunk, 1), mask (b, l, chunk)."""
    shape = (BATCH, window, chunk)
    mask = uniform(f"{case}/mask", shape) > 0.25
    mask[:, :, 0] = True
    mask[0, -1, -1] = False
    return {
        "continuous": (2.0 * uniform(f"{case}/continuous", (*shape, 6)) - 1.0).astype(np.float32),
        "binary": (uniform(f"{case}/binary", (*shape, 1)) > 0.5).astype(np.float32),
        "mask": mask,
    }


def _offset(name: str, shape: Sequence[int]) -> float:
    return 1.0 if len(shape) == 1 and name.endswith("weight") else 0.0


def _scale(name: str, shape: Sequence[int]) -> float:
    fan_in = math.prod(shape[1:]) if len(shape) > 1 else 1
    rules = (
        (name == "action_token", 0.5),
        ("latent_query" in name or name.endswith("vision_resampler.latents"), 1.0),
        ("lora_A" in name, 1.0 / math.sqrt(fan_in)),
        ("lora_B" in name, 0.05),
        ("embed_tokens" in name, 0.25),
        ("class_embedding" in name or "position_embedding" in name or "wpe" in name, 0.3),
        (len(shape) == 1, 0.1),
        ("act_head.gpt" in name, 1.0 / math.sqrt(shape[0])),
        ("act_head" in name and ".mlp.6." in name, 0.8 / math.sqrt(fan_in)),
        ("act_head" in name and ".mlp." in name, 1.41 / math.sqrt(fan_in)),
        ("rnn" in name, 2.2 / math.sqrt(fan_in)),
    )
    return next((scale for holds, scale in rules if holds), 1.4 / math.sqrt(fan_in))
