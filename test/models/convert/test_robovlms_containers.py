"""Every form that RoboVLMs' checkpoints come in, and adapters in them, give the same policy."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from formula import SENTENCE
from robovlms_cases import DT, Case, lightning
from torch import Tensor

from mobile_vla_models.convert import Conversion, convert_robovlms, read_robovlms
from mobile_vla_models.policy import VLAPolicy

Tensors = dict[str, Tensor]
LANGUAGE_HEAD = "backbone.text_model.lm_head.weight"


def plain(tensors: Tensors) -> dict[str, Any]:
    return tensors


def as_lightning(tensors: Tensors) -> dict[str, Any]:
    return lightning(tensors, {})


def deepspeed(tensors: Tensors, wrapper: str = "") -> dict[str, Any]:
    """What the peer's copy of DeepSpeed's zero_to_fp32.py writes: shards put together, and the rest of a shard."""
    names = {f"{wrapper}model.{name}": tensor for name, tensor in tensors.items()}
    return {
        "buffer_names": [],
        "param_shapes": [OrderedDict((name, tensor.shape) for name, tensor in names.items())],
        "shared_params": {f"{wrapper}model.{LANGUAGE_HEAD}": "..."},
        "ds_config": {"zero_optimization": {"stage": 2}},
        "ds_version": "0.15.0",
        "state_dict": {name: tensor.float() for name, tensor in names.items()},
    }


def lightning_before_2_1(tensors: Tensors) -> dict[str, Any]:
    return deepspeed(tensors, "_forward_module.")


def parallel(tensors: Tensors) -> dict[str, Any]:
    return {"model_state_dict": {f"module.{name}": tensor for name, tensor in tensors.items()}}


def half(tensors: Tensors) -> dict[str, Any]:
    return lightning({name: t.to(torch.bfloat16) if t.is_floating_point() else t for name, t in tensors.items()}, {})


CONTAINERS = (plain, as_lightning, deepspeed, lightning_before_2_1, parallel)


def read(case: Case, content: dict[str, Any], folder: Path, **train_setup: object) -> Conversion:
    document = case.document()
    document["train_setup"] |= train_setup
    config, checkpoint = folder / "config.json", folder / "weights.pt"
    config.write_text(json.dumps(document), encoding="utf-8")
    torch.save(content, checkpoint)
    return read_robovlms(config, checkpoint, DT)


def assert_runs_as_recorded(policy: VLAPolicy, case: Case) -> None:
    frames = case.run_pictures(3, len(policy.config.cameras))
    found = np.stack([policy.step(pictures[0], SENTENCE).continuous for pictures in frames])
    expected = 0.65 * case.tensors["run/continuous"][:3].numpy()
    np.testing.assert_allclose(found, expected, rtol=0.0, atol=1e-5 * float(np.abs(expected).max()))


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("name", ["kosmos_lstm_post", "gpt_post", "lora"])
def test_containers(name: str, container: Callable[[Tensors], dict[str, Any]], tmp_path: Path) -> None:
    case = Case(name)
    conversion = read(case, container(case.state_dict()), tmp_path)
    assert_runs_as_recorded(conversion.policy, case)
    assert LANGUAGE_HEAD in conversion.dropped


def test_half_precision_becomes_float32(tmp_path: Path) -> None:
    policy = read(Case("fc_post"), half(Case("fc_post").state_dict()), tmp_path).policy
    assert {tensor.dtype for tensor in policy.model.parameters()} == {torch.float32}


def test_what_is_dropped_is_said(tmp_path: Path) -> None:
    case = Case("gpt_post")
    tensors = case.state_dict()
    tensors["clip_norm_head.projection.weight"] = torch.zeros(2, 2)
    dropped = read(case, plain(tensors), tmp_path).dropped
    masks = {f"act_head.gpt.h.{layer}.attn.{name}" for layer in range(8) for name in ("bias", "masked_bias")}
    assert set(dropped) == {LANGUAGE_HEAD, "clip_norm_head.projection.weight", *masks}


def test_second_copy_of_adapted_backbone_is_dropped(tmp_path: Path) -> None:
    case = Case("lora")
    conversion = read(case, plain(case.state_dict()), tmp_path)
    copies = [name for name in conversion.dropped if name.startswith("model.base_model.model.")]
    assert len(copies) == 152
    assert conversion.tensors == 337


def test_adapters_scale_as_the_configuration_says(tmp_path: Path) -> None:
    case = Case("lora")
    tensors = case.state_dict()
    module = "backbone.text_model.model.layers.0.ffn.fc1"
    policy = read(case, plain(tensors), tmp_path, lora_alpha=8).policy
    weight, up, down = (
        tensors[f"{module}.{part}.weight"] for part in ("base_layer", "lora_B.default", "lora_A.default")
    )
    found = policy.model.get_parameter("backbone.model.text_model.model.layers.0.ffn.fc1.weight")
    torch.testing.assert_close(found.detach(), weight + 2.0 * up @ down)


def test_directory_says_where_it_came_from(tmp_path: Path) -> None:
    case = Case("pre_lstm")
    config, checkpoint = case.write(tmp_path)
    directory = convert_robovlms(config, checkpoint, tmp_path / "policy", DT)
    training = json.loads((directory / "training.json").read_text())
    assert training["converted_from"] == "RoboVLMs"
    assert training["checkpoint"] == checkpoint.name
    assert len(training["sha256"]) == 64
    assert training["configuration"] == case.document()
    assert any("oldest frame's" in note for note in training["notes"])
    assert training["sha256"] in (directory / "README.md").read_text()
