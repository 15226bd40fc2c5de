"""A new policy around a released vision-language model: its weights and tokenizer, the policy's own parts untrained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from transformers import (
    AutoModelForImageTextToText,
    CLIPModel,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.image_processing_utils import BaseImageProcessor

from .backbone.registry import unknown_keys
from .configuration import ImagePreprocessing, PolicyConfig
from .documents import read_yaml, validate
from .errors import BackboneError, PolicyConfigError
from .instruction import InstructionEncoder
from .modeling import VLAModel
from .policy import VLAPolicy
from .policy_directory import PolicyParts
from .text import read_tokenizer

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
    document["backbone"] = {**document["backbone"], "config": architecture(vlm.config)[0]}
    if clip_model is not None:
        document["clip"] = {**document["clip"], "config": architecture(clip_model.config)[0]}
    config = validate(PolicyConfig, document, preset, PolicyConfigError)
    check_image_processor(config.image, backbone, preset)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = VLAModel(config, vlm, clip_model)
        tokenizer = read_tokenizer(backbone, BackboneError, hub=True)
        clip_tokenizer = read_tokenizer(clip, BackboneError, hub=True) if clip is not None else None
        encoder = InstructionEncoder(config, tokenizer, clip_tokenizer)
    except BackboneError:
        raise
    except ValueError as error:
        raise PolicyConfigError(f"{preset}: {error}") from error
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


def architecture(config: PretrainedConfig) -> tuple[dict[str, Any], list[str]]:
    """What a released configuration says of the architecture, as a dictionary.

    Values that are its class's defaults are left out, as is where it came from and how it was stored: another version
    of transformers may know more keys, and would not be understood by an older one. (Should a default change, the
    policy's golden vectors tell.) Published configurations also hold keys of other times, which the class does not have
    and transformers ignores.

    Returns:
        The dictionary, and the keys of other times that were left out.
    """

    def cleaned(document: dict[str, Any]) -> dict[str, Any]:
        return {
            key: cleaned(value) if isinstance(value, dict) else value
            for key, value in document.items()
            if key not in PROVENANCE
        }

    document = cleaned(config.to_diff_dict())
    dropped = list(unknown_keys("config", document, type(config)))
    for _, part, key in dropped:
        del part[key]
    return document, [name for name, _, _ in dropped]


def _load(kind: Any, name: str) -> Any:
    """A model of `kind` in float32, whatever it was stored in: what the policy adds is trained in that too."""
    try:
        model, found = kind.from_pretrained(name, dtype=torch.float32, output_loading_info=True)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise BackboneError(f"{name}: no model that {kind.__name__} can read ({error})") from error
    if kind is CLIPModel and model.config.model_type != "clip":
        raise BackboneError(f"{name} is a {model.config.model_type}, expected a clip")
    missing = sorted(found["missing_keys"])
    if missing:
        raise BackboneError(f"{name} lacks {len(missing)} weights, such as {', '.join(missing[:5])}")
    return model
