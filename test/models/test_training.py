"""Training learns: a small set of views and runs is overfitted, from configuration file to policy directory."""

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from recordings import write_bag, write_views
from tiny import tiny_policy
from trainings import document, live, write

from mobile_vla_models import DataError, TrainingConfigError, VLAPolicy
from mobile_vla_models.training import train
from mobile_vla_models.training.configuration import read_training_config
from mobile_vla_models.training.grounding import check_similarity_prompts, take_vision_tower

LORA = {"rank": 2, "alpha": 4.0, "dropout": 0.0, "groups": ["decoder"]}


@pytest.fixture(autouse=True)
def _alone() -> None:
    AcceleratorState._reset_state(True)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_views(tmp_path / "views", count=24)
    # Twice the same run: the errors on the one held out are those of fitting, not of generalising.
    for name in ("one", "again"):
        write_bag(tmp_path / "bags" / name, [("turn left", 2.0), ("stop", 1.2)])
    return tmp_path


def weights(path: Path) -> dict[str, torch.Tensor]:
    return VLAPolicy.from_pretrained(path).model.state_dict()


def test_one_small_set_is_overfitted(data: Path) -> None:
    """Words are grounded, runs imitated, and the policy written says in the first frame what the expert did."""
    best = train(write(data, document(data)))
    policy = VLAPolicy.from_pretrained(best)
    metrics = json.loads((best / "training.json").read_text())
    clip = metrics["grounding"]["clip"]
    assert clip["accuracy"] > 0.9 > clip["chance"]
    errors = metrics["imitation"]
    assert errors["angular_z"] < 0.5 * errors["angular_z_constant"]
    assert errors["linear_x"] < 0.5 * errors["linear_x_constant"]
    chunk = policy.step(np.zeros((24, 32, 3), np.uint8), "turn left")
    np.testing.assert_allclose(chunk.velocity[0], (0.3, 0.5), atol=0.1)
    assert metrics["data"]["held_out"] in (["again#0", "again#1"], ["one#0", "one#1"])
    assert metrics["git_revision"]
    assert len(metrics["data"]["sha256"]) == 64


def test_a_training_whose_last_stage_was_lost_repeats_it_to_the_same_bits(data: Path) -> None:
    content = document(data)
    content["grounding"]["clip"]["steps"] = 60
    unbroken = weights(train(write(data, content)))
    for name in ("kosmos2.pt", "imitation.pt"):
        (data / "out" / "checkpoints" / name).unlink()
    broken = weights(train(write(data, content)))
    for name, value in unbroken.items():
        assert torch.equal(value, broken[name]), name


def test_pictures_and_kept_features_train_the_same_head(data: Path) -> None:
    """Nothing of the towers trains either way; features are kept as float16."""
    content = document(data)
    content["grounding"] |= {"clip": {**content["grounding"]["clip"], "steps": 2}}
    content["grounding"]["kosmos2"]["steps"] = 2
    content["imitation"]["optimizer"]["steps"] = 3
    kept = train(write(data, content))
    start = tiny_policy().model.state_dict()
    assert not torch.equal(start["head.rnn.weight_ih_l0"], weights(kept)["head.rnn.weight_ih_l0"])
    files = sorted((data / "out" / "features").rglob("*.npy"))
    # 4 episodes once, and the held-out ones under each other's words.
    assert len(files) == 6
    times = [file.stat().st_mtime_ns for file in files]
    (data / "out" / "checkpoints" / "imitation.pt").unlink()
    train(write(data, content))
    assert [file.stat().st_mtime_ns for file in files] == times, "kept features were computed again"


def test_adapters_and_pictures_are_overfitted_and_folded_in(data: Path) -> None:
    pretrained = data / "pretrained"
    tiny_policy().save_pretrained(pretrained, {"parameters": 0}, "# tiny\n")
    content = live(document(data), steps=120, lora=LORA, gradient_checkpointing=True)
    content["start"] = {"type": "pretrained", "policy": str(pretrained)}
    content["imitation"]["optimizer"] |= {"ema": 0.9, "accumulation": 2, "learning_rates": {"lora": 0.003}}
    content["imitation"]["augmentation"] = {
        **dict.fromkeys(("brightness", "contrast", "saturation", "shift", "crop"), 0.02),
        **dict.fromkeys(("hue", "blur", "rotation"), 0.0),
        "mirror": False,
    }
    best = train(write(data, content))
    errors = json.loads((best / "training.json").read_text())["imitation"]
    assert errors["angular_z"] < 0.5 * errors["angular_z_constant"]
    before, after = weights(pretrained), weights(best)
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    decoder = "backbone.model.text_model.model.layers.0.self_attn.q_proj.weight"
    assert decoder in changed
    assert not any("vision_model" in name or name.startswith("clip.") for name in changed)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["sead"], 1, "sead"),
        (["grounding", "clip", "steps"], 0, "grounding.clip.steps"),
        (["start", "policy"], "many", "start.scratch.policy"),
        (["imitation", "looks"], 2, "imitation: Value error, looks are of kept features"),
        (["grounding"], None, "random towers would stay random"),
        (["parallel"], "fsdp", "grounding is for a policy from scratch"),
        (["sources", 0, "cameras"], {}, "sources.0.rosbag2.cameras"),
    ],
)
def test_bad_keys_and_values_are_named(tmp_path: Path, path: list[Any], value: object, message: str) -> None:
    content = copy.deepcopy(document(tmp_path))
    inner: Any = content
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    with pytest.raises(TrainingConfigError, match=message):
        read_training_config(write(tmp_path, content))


def test_missing_configuration_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingConfigError, match=r"nothing\.yaml"):
        read_training_config(tmp_path / "nothing.yaml")


def test_missing_recordings_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="mobile-vla record"):
        train(write(tmp_path, document(tmp_path)))


def test_a_prompt_that_views_do_not_label_is_named() -> None:
    with pytest.raises(TrainingConfigError, match="a unicorn"):
        check_similarity_prompts(("{instruction}", "a unicorn"))


def test_kosmos2_takes_clips_vision_tower_and_keeps_it() -> None:
    model = tiny_policy().model
    take_vision_tower(model)
    pixels = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    ours = model.backbone.vision_tower(pixel_values=pixels)[0]
    torch.testing.assert_close(ours, model.clip.clip.vision_model(pixel_values=pixels).last_hidden_state)
    assert not any(p.requires_grad for p in model.backbone.vision_tower.model.parameters())
