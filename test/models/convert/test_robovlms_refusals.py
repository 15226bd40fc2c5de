"""What cannot be converted is refused by name, and leaves nothing behind."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from robovlms_cases import DT, Case
from torch import Tensor

from mobile_vla_models.convert import convert_robovlms, read_robovlms
from mobile_vla_models.errors import ConversionError, PolicyDirectoryError

Change = Callable[[dict[str, Any]], object]
DOWN = "backbone.text_model.model.layers.0.self_attn.q_proj.lora_A.default.weight"


class Foreign:
    """A class that a checkpoint must not bring along."""


def convert(folder: Path, document: dict[str, Any], content: object) -> Path:
    config, checkpoint = folder / "config.json", folder / "weights.pt"
    config.write_text(json.dumps(document), encoding="utf-8")
    torch.save(content, checkpoint)
    return convert_robovlms(config, checkpoint, folder / "policy", DT)


def refuse(folder: Path, document: dict[str, Any], content: object, message: str) -> None:
    with pytest.raises(ConversionError, match=message):
        convert(folder, document, content)
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "weights.pt"]


def put(path: str, value: object) -> Change:
    """Set a key of a nested document."""
    *parents, key = path.split(".")

    def change(document: dict[str, Any]) -> None:
        for parent in parents:
            document = document[parent]
        document[key] = value

    return change


def remove(path: str) -> Change:
    *parents, key = path.split(".")

    def change(document: dict[str, Any]) -> None:
        for parent in parents:
            document = document[parent]
        del document[key]

    return change


REFUSED: list[tuple[str, Change, str]] = [
    (
        "kosmos_lstm_post",
        put("robovlm_name", "RoboFlamingo"),
        "robovlm_name is 'RoboFlamingo', supported: 'RoboKosMos'",
    ),
    ("kosmos_lstm_post", put("robovlm_name", "RoboPaligemma"), "robovlm_name is 'RoboPaligemma'"),
    ("kosmos_lstm_post", remove("robovlm_name"), "robovlm_name is missing, expected str"),
    ("kosmos_lstm_post", put("model", "qwen"), "model is 'qwen', supported: 'kosmos'"),
    ("kosmos_lstm_post", put("fwd_head", {"type": "ForwardDecoder"}), "fwd_head is"),
    ("kosmos_lstm_post", put("act_head", None), "act_head is null"),
    ("kosmos_lstm_post", remove("act_head.action_dim"), "act_head.action_dim is missing"),
    ("kosmos_lstm_post", put("act_head.action_dim", 8), "act_head.action_dim is 8, supported: 7"),
    ("kosmos_lstm_post", put("act_head.type", "DiffusionDecoder"), "act_head.type is 'DiffusionDecoder'"),
    ("kosmos_lstm_post", put("act_head.type", "DiscreteDecoder"), "act_head.type is 'DiscreteDecoder', supported"),
    ("kosmos_lstm_post", put("act_head.action_space", "spoken"), "act_head.action_space is 'spoken'"),
    ("kosmos_lstm_post", put("act_head.fill_zero", True), "act_head.fill_zero is True"),
    ("kosmos_lstm_post", put("act_head.down_sample", "resampler"), "act_head.down_sample is 'resampler'"),
    ("kosmos_lstm_post", put("act_head.history_type", "video"), "act_head.history_type is 'video'.*LSTMDecoder"),
    ("kosmos_lstm_post", put("act_head.history_type", "last"), "act_head.history_type is 'last'"),
    ("kosmos_lstm_post", put("act_head.latent", "2"), "act_head.latent is '2', expected int"),
    ("kosmos_lstm_post", put("window_size", True), "window_size is True, expected int"),
    ("kosmos_lstm_post", put("regular_action", True), "regular_action is True, supported: False"),
    ("kosmos_lstm_post", put("use_mu_law", True), "use_mu_law is True, supported: False"),
    ("kosmos_lstm_post", put("tcp_rel", True), "tcp_rel is True, supported: False"),
    ("kosmos_lstm_post", put("norm_max", -0.65), "minimum -0.65 must be below maximum -0.65"),
    ("kosmos_lstm_post", put("image_size", 224), "image_size is 224, supported: 56"),
    ("kosmos_lstm_post", put("tokenizer.additional_special_tokens", ["<a>"]), "additional_special_tokens is"),
    ("kosmos_lstm_post", put("tokenizer.pretrained_model_name_or_path", ".vlms/none"), "'.vlms/none', which is no dir"),
    ("kosmos_lstm_post", put("vlm.pretrained_model_name_or_path", ".vlms/none"), "there is no .vlms/none/config.json"),
    ("gpt_post", put("act_head.latent", 2), "act_head.latent is 2, supported: 1"),
    ("pool_text", put("act_head.token_source", "action"), "act_head.token_source is 'action'"),
    ("pool_text", put("act_head.down_sample", "none"), "act_head.down_sample is 'none', supported: 'pooling'"),
    ("discrete_hand", remove("act_head.n_bin"), "act_head.n_bin is missing"),
    ("discrete_hand", put("act_head.max_action", 2), "act_head.max_action is 2.0, supported: 1.0"),
    ("discrete_hand", put("act_head.n_bin", 700), "700 bins do not fit"),
]


@pytest.mark.parametrize(("name", "change", "message"), REFUSED, ids=[message[:40] for _, _, message in REFUSED])
def test_configuration(name: str, change: Change, message: str, tmp_path: Path) -> None:
    document = Case(name).document()
    change(document)
    refuse(tmp_path, document, {"state_dict": {}}, message)


def test_configuration_that_is_no_json(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(ConversionError, match="not a readable JSON file"):
        read_robovlms(tmp_path / "config.json", tmp_path / "weights.pt", DT)


def test_configuration_that_inherits_from_itself(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"parent": str(config)}), encoding="utf-8")
    with pytest.raises(ConversionError, match="inherits from itself"):
        read_robovlms(config, tmp_path / "weights.pt", DT)


def test_dt_must_be_positive(tmp_path: Path) -> None:
    config, checkpoint = Case("fc_post").write(tmp_path)
    with pytest.raises(ConversionError, match="dt: Input should be greater than 0"):
        read_robovlms(config, checkpoint, 0.0)


def test_model_that_cannot_be_built(tmp_path: Path) -> None:
    document = Case("gpt_post").document()
    document["act_head"]["hidden_size"] = 36
    message = "no model can be built.*hidden size 36 is no multiple of the 8"
    refuse(tmp_path, document, Case("gpt_post").state_dict(), message)


def without(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key: tensor for key, tensor in tensors.items() if key != name}


def test_missing_tensor(tmp_path: Path) -> None:
    tensors = without(Case("fc_post").state_dict(), "act_head.gripper.mlp.6.bias")
    message = re.escape("nothing in the checkpoint fills head.binary.mlp.6.bias (3,)")
    refuse(tmp_path, Case("fc_post").document(), tensors, message)


def test_tensor_left_over(tmp_path: Path) -> None:
    tensors = Case("fc_post").state_dict() | {"embed_state.weight": torch.zeros(32, 64)}
    refuse(tmp_path, Case("fc_post").document(), tensors, re.escape("embed_state.weight (32, 64) has no place"))


def test_tensor_of_another_shape(tmp_path: Path) -> None:
    document = Case("fc_post").document()
    document["fwd_pred_next_n"] = 5
    message = re.escape("act_head.gripper.mlp.6.bias has shape (3,), head.binary.mlp.6.bias has (5,)")
    refuse(tmp_path, document, Case("fc_post").state_dict(), message)


def test_tensor_that_is_not_finite(tmp_path: Path) -> None:
    tensors = Case("fc_post").state_dict()
    tensors["action_token"][3] = torch.nan
    refuse(tmp_path, Case("fc_post").document(), tensors, "action_token is not finite")


def test_spoken_actions_need_the_tied_language_head(tmp_path: Path) -> None:
    tensors = Case("discrete_hand").state_dict()
    tensors["backbone.text_model.lm_head.weight"] = tensors["backbone.text_model.lm_head.weight"] + 1.0
    refuse(tmp_path, Case("discrete_hand").document(), tensors, "lm_head.weight differs from")


def test_adapters_without_configuration(tmp_path: Path) -> None:
    document = Case("kosmos_lstm_post").document()
    refuse(tmp_path, document, Case("lora").state_dict(), "29 layers.*train_setup.lora_enable false")


def test_configuration_without_adapters(tmp_path: Path) -> None:
    refuse(tmp_path, Case("lora").document(), Case("kosmos_lstm_post").state_dict(), "holds no adapter")


def test_adapters_of_another_rank(tmp_path: Path) -> None:
    document = Case("lora").document()
    document["train_setup"]["lora_r"] = 8
    refuse(tmp_path, document, Case("lora").state_dict(), "with train_setup.lora_r 8")


def test_half_an_adapter(tmp_path: Path) -> None:
    copy = DOWN.replace("backbone.", "model.base_model.model.", 1)
    tensors = without(without(Case("lora").state_dict(), DOWN), copy)
    refuse(tmp_path, Case("lora").document(), tensors, f"has an adapter without {DOWN}")


def test_copies_that_differ(tmp_path: Path) -> None:
    tensors = Case("lora").state_dict()
    tensors[DOWN.replace("backbone.", "model.base_model.model.", 1)][0, 0] += 1e-6
    message = f"copies of one tensor differ: {DOWN.replace('backbone.', 'model.base_model.model.', 1)} differs from"
    refuse(tmp_path, Case("lora").document(), tensors, message)


def test_copy_without_original(tmp_path: Path) -> None:
    tensors = without(Case("lora").state_dict(), "backbone.text_model.model.layer_norm.weight")
    refuse(tmp_path, Case("lora").document(), tensors, "has no counterpart backbone.text_model.model.layer_norm.weight")


def test_foreign_class(tmp_path: Path) -> None:
    content = {"state_dict": Case("fc_post").state_dict(), "callback": Foreign()}
    refuse(tmp_path, Case("fc_post").document(), content, "would run code when read.*Foreign.*save its tensors anew")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "holds no state dict: it is empty"),
        ([1, 2], "holds a list, expected a state dict"),
        ({"epoch": 3}, re.escape("holds no state dict: epoch (int)")),
        ({"module": {}, "ds_version": "0.15.0"}, "part of a DeepSpeed ZeRO checkpoint.*convert_deepspeed_to_fp32.py"),
    ],
)
def test_no_state_dict(content: object, message: str, tmp_path: Path) -> None:
    refuse(tmp_path, Case("fc_post").document(), content, message)


def test_file_that_is_no_checkpoint(tmp_path: Path) -> None:
    config, checkpoint = Case("fc_post").write(tmp_path)
    checkpoint.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(ConversionError, match="not a checkpoint"):
        read_robovlms(config, checkpoint, DT)
    with pytest.raises(ConversionError, match="does not exist"):
        read_robovlms(config, tmp_path / "none.pt", DT)


def test_deepspeed_directory(tmp_path: Path) -> None:
    config, _ = Case("fc_post").write(tmp_path)
    shards = tmp_path / "zero.ckpt"
    (shards / "checkpoint").mkdir(parents=True)
    (shards / "latest").write_text("checkpoint", encoding="utf-8")
    with pytest.raises(ConversionError, match=r"is a directory, as DeepSpeed ZeRO.*convert_deepspeed_to_fp32\.py"):
        convert_robovlms(config, shards, tmp_path / "policy", DT)
    assert not (tmp_path / "policy").exists()


def test_directory_that_is_something_else_is_left_alone(tmp_path: Path) -> None:
    config, checkpoint = Case("fc_post").write(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("important", encoding="utf-8")
    with pytest.raises(PolicyDirectoryError, match="is not a policy directory"):
        convert_robovlms(config, checkpoint, other, DT)
    assert [path.name for path in other.iterdir()] == ["thesis.tex"]
    assert {path.name for path in tmp_path.iterdir()} == {config.name, checkpoint.name, "other"}
