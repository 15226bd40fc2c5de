"""What RoboVLMs' keys become."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from robovlms_cases import DT, FIXTURES, Case

from mobile_vla_models.configuration import PolicyConfig
from mobile_vla_models.convert.robovlms_config import Translation, translate
from mobile_vla_models.convert.robovlms_document import read_configuration
from mobile_vla_models.convert.robovlms_prompt import load_tokenizer


def translated(document: dict[str, Any]) -> Translation:
    return translate(document, load_tokenizer(str(FIXTURES / "kosmos2_tiny")), DT)


def config(name: str, **top: object) -> PolicyConfig:
    return translated(Case(name).document() | top).config


def test_actions_are_named_and_ranged() -> None:
    action = config("kosmos_lstm_post").action
    assert [part.name for part in action.continuous] == ["x", "y", "z", "roll", "pitch", "yaw"]
    assert {(part.minimum, part.maximum, part.unit) for part in action.continuous} == {
        (-0.65, 0.65, "as in DiskCalvinDataset")
    }
    assert action.binary == ("gripper",)
    assert action.limits is None


def test_actions_that_are_not_normalised_keep_the_range_of_the_head() -> None:
    part = config("kosmos_lstm_post", norm_action=False).action.continuous[0]
    assert (part.minimum, part.maximum) == (-1.0, 1.0)


def test_prompts() -> None:
    words = "<grounding>An image of a robot {instruction}"
    assert config("kosmos_lstm_post").prompt == f"<s>{{front}}{words}{{action}}</s>"
    assert config("hand_latent2").prompt == f"<s>{{hand}}{{front}}{words}{{action}}</s>"
    assert config("hand_latent2").cameras == ("front", "hand")
    assert config("pool_all").prompt == f"<s>{{front}}{words}</s>"
    question = "Input: What 3 step actions should the robot take to {instruction}?\nOutput: \n</s>"
    assert config("discrete_hand").prompt == f"<s>{{hand}}{{front}}{question}{{action}}</s>"


def test_no_hand_camera_where_the_data_had_none() -> None:
    document = Case("hand_latent2").document()
    document["train_dataset"]["type"] = "OpenVLADataset"
    translation = translated(document)
    assert translation.config.cameras == ("front",)
    assert translation.config.action.continuous[0].unit == "as in OpenVLADataset"
    assert any(
        note.startswith("use_hand_rgb is true, but OpenVLADataset has no hand camera") for note in translation.notes
    )
    assert any(note.startswith("the prompt is that of RoboVLMs' evaluation") for note in translation.notes)


def test_sizes_of_the_top_level_hold_and_are_said() -> None:
    document = Case("kosmos_lstm_post").document()
    translation = translated(document)
    assert (translation.config.window, translation.config.chunk) == (4, 3)
    assert translation.notes == (
        "act_head.window_size is 1 without effect; window_size 4 of the top level holds",
        "act_head.fwd_pred_next_n is 1 without effect; fwd_pred_next_n 3 of the top level holds",
    )


def test_resampler_is_the_one_that_is_built() -> None:
    translation = translated(Case("resampler").document())
    resampler = translation.config.resampler
    assert resampler is not None
    assert resampler.model_dump() == {"latents": 64, "depth": 6, "heads": 8, "head_dim": 64, "ff_mult": 4}
    assert any(note.startswith("vision_resampler has no effect") for note in translation.notes)


def test_lstm_takes_what_its_constructor_takes() -> None:
    document = Case("kosmos_lstm_post").document()
    document["act_head"] |= {"num_layers": 2, "policy_rnn_dropout_p": 0.1, "latent": 3}
    head = translated(document).config.head
    assert head.model_dump() == {
        "type": "lstm",
        "hidden_size": 144,
        "num_layers": 2,
        "dropout": 0.1,
        "mlp": (1024, "relu", 512, "relu", 256, "relu"),
        "squash": "tanh",
    }


def test_unknown_keys_are_said() -> None:
    document = Case("kosmos_lstm_post").document() | {"diffusion_steps": 10, "use_state": True, "image_std": [1, 1, 1]}
    document["act_head"]["depth"] = 3
    notes = translated(document).notes
    assert "diffusion_steps is unknown and was not looked at" in notes
    assert "act_head.depth is unknown and was not looked at" in notes
    assert any(note.startswith("use_state has no effect") for note in notes)
    assert any(note.startswith("image_std [1, 1, 1] has no effect") for note in notes)


def test_long_windows_in_one_sequence_get_room() -> None:
    translation = translated(Case("pre_lstm").document() | {"window_size": 16})
    room = translation.config.backbone.config["text_config"]["max_position_embeddings"]
    assert room == 16 * (4 + 128 + 1)
    assert any("max_position_embeddings raised from 512" in note for note in translation.notes)


def test_parents_are_filled_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = Case("kosmos_lstm_post").document()
    (tmp_path / "base.json").write_text(json.dumps(document), encoding="utf-8")
    child = {"parent": "base.json", "window_size": 7, "act_head": {"latent": 2}}
    (tmp_path / "child.json").write_text(json.dumps(child), encoding="utf-8")
    monkeypatch.chdir(tmp_path)  # RoboVLMs' paths lead from the working directory
    merged = read_configuration(Path("child.json"))
    assert merged == document | {"window_size": 7, "act_head": document["act_head"] | {"latent": 2}}
