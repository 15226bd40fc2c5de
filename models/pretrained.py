"""A new policy around a released vision-language model: its weights and tokenizer, the policy's own parts untrained."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    AutoModelForImageTextToText,
    AutoTokenizer,
    CLIPModel,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.image_processing_utils import BaseImageProcessor

from .configuration import ImagePreprocessing, PolicyConfig
from .documents import read_yaml, validate
from .errors import BackboneError, PolicyConfigError
from .instruction import InstructionEncoder
from .modeling import VLAModel
from .policy import VLAPolicy
from .policy_directory import PolicyParts

# What a released configuration says of its origin and of how it was stored, which is nothing of the architecture.
PROVENANCE = ("_name_or_path", "transformers_version", "architectures", "dtype", "torch_dtype")


def assemble(preset: Path, backbone: str, clip: str | None, seed: int) -> VLAPolicy:
    """Put a policy together.

    Args:
        preset: a YAML file like those in config/model: a policy's configuration without `backbone.config` and
            `clip.config`, which are those of the models named here.
        backbone: directory or hub id of the vision-language model.
        clip: directory or hub id of CLIP; None for a preset without.
        seed: of what is not pretrained: action tokens, state encoder, resampler, fusion, head.

    Raises:
        PolicyConfigError: the preset cannot be used, or does not fit the models; the key is named.
        BackboneError: the model cannot be read, or is none that the preset's backbone drives.
    """
    document = read_preset(preset)
    if (document.get("clip") is None) != (clip is None):
        raise PolicyConfigError(f"{preset}: clip is {document.get('clip')!r}, the CLIP model given is {clip!r}")
    vlm: PreTrainedModel = _load(AutoModelForImageTextToText, backbone)
    clip_model: CLIPModel | None = _load(CLIPModel, clip) if clip is not None else None
    document["backbone"] = {**document["backbone"], "config": architecture(vlm.config)}
    if clip_model is not None:
        document["clip"] = {**document["clip"], "config": architecture(clip_model.config)}
    config = validate(PolicyConfig, document, preset, PolicyConfigError)
    check_image_processor(config.image, backbone, preset)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = VLAModel(config, vlm, clip_model)
    encoder = InstructionEncoder(config, _load_tokenizer(backbone), _load_tokenizer(clip) if clip is not None else None)
    return VLAPolicy(PolicyParts(config, model, encoder))


def read_preset(path: Path) -> dict[str, Any]:
    """A preset as a plain document.

    Raises:
        PolicyConfigError: not readable, not YAML, or it says what the models say.
    """
    document = read_yaml(path, PolicyConfigError)
    if not isinstance(document, dict) or not isinstance(document.get("backbone"), dict):
        raise PolicyConfigError(f"{path}: expected the keys of a policy's configuration, backbone among them")
    for key in ("backbone", "clip"):
        if isinstance(document.get(key), dict) and "config" in document[key]:
            raise PolicyConfigError(f"{path}: {key}.config is the pretrained model's own; leave it out")
    return document


def check_image_processor(image: ImagePreprocessing, backbone: str, preset: Path) -> None:
    """Compare a preset's normalisation with the released image processor's, if there is one.

    Raises:
        PolicyConfigError: the model was trained with another mean or std.
    """
    try:
        # Its file, and not the processor itself: some need torchvision, which nothing else here does.
        processor, _ = BaseImageProcessor.get_image_processor_dict(backbone)
    except (OSError, ValueError):
        return  # models are also kept without: nothing to compare with
    for key, own in (("mean", image.mean), ("std", image.std)):
        released = processor.get(f"image_{key}")
        if released is not None and not np.allclose(own, released, atol=1e-3):
            raise PolicyConfigError(f"{preset}: image.{key} is {own}, the image processor of {backbone} has {released}")


def architecture(config: PretrainedConfig) -> dict[str, Any]:
    """What a transformers configuration says beyond its class's defaults, origin and storage left out.

    Another version of transformers may know more keys, and would not be understood by an older one.
    """

    def cleaned(document: dict[str, Any]) -> dict[str, Any]:
        return {
            key: cleaned(value) if isinstance(value, dict) else value
            for key, value in document.items()
            if key not in PROVENANCE
        }

    return cleaned(copy.deepcopy(config.to_diff_dict()))


def _load(kind: Any, name: str) -> Any:
    """A model of `kind` in float32, whatever it was stored in: what the policy adds is trained in that too."""
    try:
        return kind.from_pretrained(name, dtype=torch.float32)
    except (OSError, ValueError) as error:
        raise BackboneError(f"{name}: no model that {kind.__name__} can read ({error})") from error


def _load_tokenizer(name: str) -> PreTrainedTokenizerBase:
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise BackboneError(f"{name}: no tokenizer can be read there ({error})") from error
    return tokenizer
