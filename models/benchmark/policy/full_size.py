"""A policy of random weights at full size, straight into memory: to time a step without a file of gigabytes."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...configuration import PolicyConfig
from ...convert.hybrid_layout import FULL_SIZE, HybridLayout, MlpLinear, MlpNorm
from ...convert.hybrid_settings import NORMALISATION
from ...engine.engine import TORCH, open_engine
from ...instruction import InstructionEncoder
from ...modeling import VLAModel
from ...policy import VLAPolicy
from ...policy_directory import PolicyParts
from ...precision import cast, uniform
from ...quantization.linear import QuantisedLinear
from ...text import train_tokenizer
from ...weights import empty_model
from ..checkpoint.stages import DT, FUSION_INPUTS, PROMPT, SCALE, WINDOW

SENTENCES = ("go to the red box", "drive to the blue ball", "turn left", "stop")
# Numbers that are drawn, and repeated from there: a prime, so that rows do not repeat each other.
_DRAWN = 1_000_003
_CLIP_SCALE = 2.6592  # CLIP's initial ln(1 / 0.07)


def full_size_policy(precision: str, device: str = "cpu", engine: str = TORCH) -> VLAPolicy:
    """Kosmos-2, CLIP ViT-B/32, an LSTM and an MLP, 1.7 billion parameters and more, random, in that precision.

    Args:
        precision: of `Precision`; beside integers the head is float32.
        device: of the weights.
        engine: one of torch's.

    Raises:
        PolicyDirectoryError: see `open_engine`.
    """
    return random_policy(FULL_SIZE, precision, device, engine)


def random_policy(layout: HybridLayout, precision: str, device: str = "cpu", engine: str = TORCH) -> VLAPolicy:
    """A policy of a layout's sizes; no golden vectors, they would be its own."""
    target = torch.device(device)
    config = random_config(layout, precision)
    tokenizer = train_tokenizer(SENTENCES, vocab_size=300, max_length=64)
    model = empty_model(config)
    fill_randomly(model, target)
    encoder = InstructionEncoder(config, tokenizer, tokenizer if config.clip_reads else None)
    return VLAPolicy(PolicyParts(config, model, encoder), open_engine(engine, Path(), model))


def random_config(layout: HybridLayout, precision: str) -> PolicyConfig:
    """The configuration of a policy that a checkpoint of that layout would come to."""
    mlp: list[int | str] = []
    for before, layer in pairwise([None, *layout.mlp[:-1]]):
        if isinstance(layer, MlpLinear):
            mlp.append(layer.outputs)
        elif isinstance(layer, MlpNorm):
            mlp.append("layer_norm")
        elif before is not None:  # the activation; a second gap beside it is dropout
            mlp.append("relu")
    mean, std = NORMALISATION["imagenet"]
    ranges = {"minimum": -SCALE, "maximum": SCALE}
    document: dict[str, Any] = {
        "schema_version": 3,
        "dt": DT,
        "window": WINDOW,
        "chunk": 1,
        "action": {
            "continuous": [
                {"name": "linear_x", "unit": "m/s", **ranges},
                {"name": "angular_z", "unit": "rad/s", **ranges},
            ],
            "binary": (),
            "limits": None,
        },
        "cameras": ("front",),
        "image": {
            "size": layout.kosmos["vision_config"]["image_size"],
            "mean": mean,
            "std": std,
            "interpolation": "bilinear",
        },
        "state": (),
        "prompt": PROMPT,
        "history": "post",
        "backbone": {"type": "kosmos2", "config": dict(layout.kosmos), "language_head": False},
        "resampler": None,
        "readout": {"type": "pooled", "source": "all", "pooling": "mean", "tokens": 1},
        "clip": {"config": dict(layout.clip), "prompts": ()},
        "fusion": {"type": "concat", "features": FUSION_INPUTS, "layers": (layout.fusion_outputs,)},
        "head": {
            "type": "lstm",
            "hidden_size": layout.lstm_hidden,
            "num_layers": layout.lstm_layers,
            "dropout": 0.0,
            "mlp": mlp,
            "squash": "tanh",
        },
        "precision": uniform(precision).model_dump(),
    }
    return PolicyConfig.model_validate(document)


def fill_randomly(model: VLAModel, device: torch.device) -> None:
    """Give an empty model weights of the scale of an initialisation, each the same for the same model."""
    drawn = _Drawn(seed=0)
    made: dict[int, Tensor] = {}
    for name, module in model.named_modules():
        for key, tensor in (*module._parameters.items(), *module._buffers.items()):
            if tensor is None or tensor.device.type != "meta":
                continue
            if id(tensor) not in made:
                weight = _random(module, f"{name}.{key}", tensor, drawn).to(device)
                made[id(tensor)] = nn.Parameter(weight, False) if isinstance(tensor, nn.Parameter) else weight
            # By attribute: recurrent layers keep a list of their weights beside the parameters.
            setattr(module, key, made[id(tensor)])
    if device.type != "cpu":
        cast(model, None, device)


class _Drawn:
    """Random numbers to fill tensors with, again and again the same."""

    def __init__(self, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self._normal = torch.randn(_DRAWN, generator=generator)
        self._integer = torch.randint(-127, 128, (_DRAWN,), generator=generator).to(torch.int8)

    def normal(self, tensor: Tensor, std: float) -> Tensor:
        """Fill a tensor of floating point."""
        return _repeat(tensor, (self._normal * std).to(tensor.dtype))

    def integer(self, tensor: Tensor) -> Tensor:
        """Fill a tensor of int8 or uint8."""
        return _repeat(tensor, self._integer.view(tensor.dtype))


def _random(module: nn.Module, name: str, like: Tensor, drawn: _Drawn) -> Tensor:
    owner, _, key = name.rpartition(".")
    weight = torch.empty(like.shape, dtype=like.dtype)
    if isinstance(module, QuantisedLinear) and key != "bias":
        if key == "weight":
            return drawn.integer(weight)
        # Levels are spread evenly: over the 256 of int8, or the 16 of int4 about their zero.
        levels = 256 if module.weight.dtype is torch.int8 else 16
        return weight.fill_(levels // 2 if key == "zero" else 12**0.5 / levels * module.in_features**-0.5)
    if isinstance(module, nn.LayerNorm):
        return weight.fill_(float(key == "weight"))
    if key == "logit_scale":
        return weight.fill_(_CLIP_SCALE)
    if key.startswith("bias"):
        return weight.zero_()
    if key == "latent_query" or owner.endswith("image_to_text_projection.dense"):
        # Its inputs are of unit length, not of unit variance.
        return drawn.normal(weight, 1.0)
    if isinstance(module, nn.LSTM):
        # Smaller ones leave next to nothing of what comes in after four layers.
        return drawn.normal(weight, 2.0 * module.hidden_size**-0.5)
    fan_in = like[0].numel() if isinstance(module, nn.Linear | nn.Conv2d) else like.shape[-1]
    return drawn.normal(weight, float(fan_in) ** -0.5)


def _repeat(tensor: Tensor, numbers: Tensor) -> Tensor:
    flat = tensor.view(-1)
    for piece in flat.split(len(numbers)):
        piece.copy_(numbers[: len(piece)])
    return tensor
