"""The small policy and the recordings that both loops train on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ...configuration import PolicyConfig
from ...data.episode import Episode, Signal
from ...instruction import InstructionEncoder
from ...modeling import initialise
from ...policy_directory import PolicyParts
from ...text import train_tokenizer

SENTENCES = ("go to the red box", "turn left", "drive to the blue ball", "stop")
VOCABULARY = 65037  # Kosmos-2's own: the language head is a good part of what a plain loop computes


class JpegPictures:
    """Frames of noise as JPEG in memory, decoded when they are read."""

    def __init__(self, count: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        coarse = rng.integers(0, 256, (count, 12, 16, 3), dtype=np.uint8).repeat(10, axis=1).repeat(10, axis=2)
        self._encoded = [cv2.imencode(".jpg", picture)[1] for picture in coarse]
        self.stamps: NDArray[np.float64] = np.arange(count, dtype=np.float64) * 0.2
        self.received: NDArray[np.float64] | None = None

    def read(self, rows: Sequence[int] | NDArray[np.int64]) -> list[NDArray[np.uint8]]:
        """Frames as RGB uint8 (h, w, 3)."""
        decoded = (cv2.imdecode(self._encoded[int(row)], cv2.IMREAD_COLOR) for row in rows)
        return [np.asarray(cv2.cvtColor(np.asarray(bgr), cv2.COLOR_BGR2RGB), dtype=np.uint8) for bgr in decoded]


def recordings(count: int, frames: int) -> list[Episode]:
    """Episodes of made-up pictures and commands."""
    at = np.arange(frames, dtype=np.float64) * 0.2
    runs = []
    for number in range(count):
        values = np.stack([0.3 + 0.1 * np.sin(at + number), 0.5 * np.cos(at + number)], axis=1).astype(np.float32)
        actions = Signal(("linear_x", "angular_z"), at, values, None)
        cameras = {"front": JpegPictures(frames, number)}
        words = SENTENCES[number % len(SENTENCES)]
        runs.append(Episode(f"run{number}#0", words, cameras, actions, None, 0.0, float(at[-1]) + 0.2))
    return runs


def small_policy() -> PolicyParts:
    """Kosmos-2 with a decoder of 6 x 384 and a vision tower of 6 x 192 at 168 pixels; LSTM head; random weights.

    How much kept features save grows with the towers beside the head: these are 14 M parameters beside 0.4 M, the
    released Kosmos-2's are 1.5 G beside 41 M (word embeddings left out).
    """
    config = PolicyConfig.model_validate(_document())
    tokenizer = train_tokenizer(list(SENTENCES), vocab_size=300, max_length=64)
    return PolicyParts(config, initialise(config, 0), InstructionEncoder(config, tokenizer, None))


def _document() -> dict[str, Any]:
    no_dropout = dict.fromkeys(("dropout", "attention_dropout", "activation_dropout"), 0.0)
    return {
        "schema_version": 3,
        "dt": 0.2,
        "window": 8,
        "chunk": 10,
        "action": {
            "continuous": [
                {"name": "linear_x", "unit": "m/s", "minimum": -0.6, "maximum": 0.6},
                {"name": "angular_z", "unit": "rad/s", "minimum": -1.2, "maximum": 1.2},
            ],
            "binary": ["stop"],
            "limits": None,
        },
        "cameras": ["front"],
        "image": {"size": 168, "mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "area"},
        "state": [],
        "prompt": "<s>{front}{instruction}</s>{action}",
        "history": "post",
        "backbone": {
            "type": "kosmos2",
            "language_head": True,
            "config": {
                "model_type": "kosmos-2",
                "latent_query_num": 48,
                "vision_config": {
                    "image_size": 168,
                    "patch_size": 14,
                    "hidden_size": 192,
                    "intermediate_size": 768,
                    "num_hidden_layers": 6,
                    "num_attention_heads": 6,
                },
                "text_config": {
                    **no_dropout,
                    "vocab_size": VOCABULARY,
                    "max_position_embeddings": 128,
                    "embed_dim": 384,
                    "layers": 6,
                    "ffn_dim": 1536,
                    "attention_heads": 6,
                    "pad_token_id": 0,
                    "bos_token_id": 1,
                    "eos_token_id": 3,
                },
            },
        },
        "resampler": None,
        "readout": {"type": "action_token", "tokens": 1},
        "clip": None,
        "fusion": None,
        "head": {"type": "lstm", "hidden_size": 128, "num_layers": 2, "dropout": 0.0, "mlp": [128], "squash": "tanh"},
        "precision": {"vision": "fp32", "text": "fp32", "clip": "fp32", "head": "fp32"},
    }
