"""A policy is assembled around models as they lie on disk, by presets as they are shipped."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from backbone.families import FAMILIES
from safetensors.torch import load_file, save_file
from tiny import tiny_document
from transformers import AutoConfig, AutoModelForImageTextToText, CLIPConfig, CLIPModel

from mobile_vla_models import BackboneError, PolicyConfigError, VLAPolicy
from mobile_vla_models.backbone import backbone_configuration
from mobile_vla_models.configuration import PolicyConfig
from mobile_vla_models.modeling import initialise
from mobile_vla_models.pretrained import PROVENANCE, architecture, assemble, read_preset
from mobile_vla_models.text import train_tokenizer
from policies import SENTENCES, tokenizer_for

PRESETS = sorted((Path(__file__).parents[2] / "config" / "model").glob("*.yaml"))
CLIP_MEAN = [0.48145466, 0.4578275, 0.40821073]
FAMILY = {"kosmos2_clip": "kosmos2", "internvl3": "internvl"}


def save_vlm(family: str, path: Path, dtype: torch.dtype, prompt: str) -> None:
    config = backbone_configuration(FAMILIES[family]["config"])
    AutoModelForImageTextToText.from_config(config, dtype=dtype).save_pretrained(path)
    tokenizer_for(prompt).save_pretrained(path)


def save_clip(path: Path) -> None:
    content: Any = tiny_document()
    config = {**content["clip"]["config"]}
    config["vision_config"] = {**config["vision_config"], "image_size": 28, "patch_size": 14}
    CLIPModel(CLIPConfig(**config)).save_pretrained(path)
    train_tokenizer(SENTENCES, vocab_size=300, max_length=32).save_pretrained(path)


def small_preset(path: Path, tmp_path: Path, family: str) -> Path:
    """The preset with pictures of the tiny tower's size."""
    content = yaml.safe_load(path.read_text())
    content["image"]["size"] = FAMILIES[family]["image_size"]
    preset = tmp_path / path.name
    preset.write_text(yaml.safe_dump(content))
    return preset


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_every_preset_makes_a_policy(path: Path, tmp_path: Path) -> None:
    """With the pretrained weights in it, in float32 throughout, whatever they were stored in."""
    family = FAMILY.get(path.stem, path.stem)
    content = yaml.safe_load(path.read_text())
    save_vlm(family, tmp_path / "vlm", torch.bfloat16, content["prompt"])
    clip = None
    if content["clip"] is not None:
        save_clip(tmp_path / "clip")
        clip = str(tmp_path / "clip")
    policy = assemble(small_preset(path, tmp_path, family), str(tmp_path / "vlm"), clip, seed=0)
    assert {parameter.dtype for parameter in policy.model.parameters()} == {torch.float32}
    stored = AutoModelForImageTextToText.from_pretrained(tmp_path / "vlm").get_input_embeddings().weight
    assert torch.equal(policy.model.backbone.word_embedding.weight, stored.float())
    policy.save_pretrained(tmp_path / "policy", {}, "# untrained\n")
    loaded = VLAPolicy.from_pretrained(tmp_path / "policy")
    frame = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    np.testing.assert_array_equal(loaded.step(frame, "stop").velocity, policy.step(frame, "stop").velocity)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_architecture_is_complete_and_says_nothing_of_origin_and_precision(family: str, tmp_path: Path) -> None:
    save_vlm(family, tmp_path / "vlm", torch.bfloat16, "")
    config = AutoConfig.from_pretrained(tmp_path / "vlm")
    found, dropped = architecture(config)
    assert not dropped
    assert not {str(tmp_path), "bfloat16", "transformers_version"} & set(re.findall(r"[^\s'{},]+", repr(found)))
    assert without_provenance(backbone_configuration(found).to_dict()) == without_provenance(config.to_dict())


def test_keys_of_other_times_are_left_out() -> None:
    """As published configurations have them; transformers keeps and ignores them."""
    config = backbone_configuration(FAMILIES["llava"]["config"])
    document = {**config.to_dict(), "ignore_index": -100}
    document["text_config"] = {**document["text_config"], "is_llama_config": True}
    found, dropped = architecture(type(config)(**document))
    assert set(dropped) == {"config.ignore_index", "config.text_config.is_llama_config"}
    backbone_configuration(found)


def test_a_model_that_lacks_weights_is_refused(tmp_path: Path) -> None:
    save_vlm("llava", tmp_path / "vlm", torch.float32, "")
    file = tmp_path / "vlm" / "model.safetensors"
    tensors = load_file(file)
    name = next(key for key in tensors if "q_proj" in key)
    del tensors[name]
    save_file(tensors, file, metadata={"format": "pt"})
    preset = small_preset(next(path for path in PRESETS if path.stem == "llava"), tmp_path, "llava")
    with pytest.raises(BackboneError, match=r"lacks 1 weights.*q_proj"):
        assemble(preset, str(tmp_path / "vlm"), None, seed=0)


def without_provenance(document: dict[str, Any]) -> dict[str, Any]:
    return {
        key: without_provenance(value) if isinstance(value, dict) else value
        for key, value in document.items()
        if key not in PROVENANCE
    }


def test_a_policy_stored_in_another_precision_is_still_float32() -> None:
    content: Any = tiny_document()
    content["backbone"]["config"]["dtype"] = "bfloat16"
    model = initialise(PolicyConfig.model_validate(content), 0)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"image": {"size": 30, "mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "area"}},
            "image.size is 30.* 28",
        ),
        ({"windo": 3}, "windo"),
        ({"clip": {"prompts": []}}, "clip"),
        ({"backbone": {"type": "paligemma", "language_head": False}}, "[Pp]ali[Gg]emma"),
        ({"backbone": {"type": "llava", "language_head": False, "config": {}}}, "backbone.config"),
    ],
)
def test_a_preset_that_does_not_fit_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    save_vlm("llava", tmp_path / "vlm", torch.float32, "")
    preset = small_preset(next(path for path in PRESETS if path.stem == "llava"), tmp_path, "llava")
    preset.write_text(yaml.safe_dump({**yaml.safe_load(preset.read_text()), **change}))
    with pytest.raises((PolicyConfigError, BackboneError), match=message):
        assemble(preset, str(tmp_path / "vlm"), None, seed=0)


def test_pictures_normalised_otherwise_than_the_model_was_trained_with_are_named(tmp_path: Path) -> None:
    save_vlm("llava", tmp_path / "vlm", torch.float32, "")
    preset = small_preset(next(path for path in PRESETS if path.stem == "llava"), tmp_path, "llava")
    processor: dict[str, Any] = {"image_processor_type": "CLIPImageProcessor", "image_mean": CLIP_MEAN}
    (tmp_path / "vlm" / "preprocessor_config.json").write_text(json.dumps(processor))
    assemble(preset, str(tmp_path / "vlm"), None, seed=0)
    processor["image_std"] = [0.5, 0.5, 0.5]
    (tmp_path / "vlm" / "preprocessor_config.json").write_text(json.dumps(processor))
    with pytest.raises(PolicyConfigError, match=r"image\.std is \(0\.268.*0\.5"):
        assemble(preset, str(tmp_path / "vlm"), None, seed=0)


def test_what_is_no_model_is_named(tmp_path: Path) -> None:
    preset = next(path for path in PRESETS if path.stem == "llava")
    with pytest.raises(BackboneError, match=str(tmp_path)):
        assemble(preset, str(tmp_path), None, seed=0)
    with pytest.raises(PolicyConfigError, match=r"nothing\.yaml"):
        read_preset(tmp_path / "nothing.yaml")
