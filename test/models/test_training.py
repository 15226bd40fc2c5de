"""Training learns: a small set of views and runs is overfitted, from configuration file to policy directory."""

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from recordings import write_bag, write_views
from tiny import tiny_document, tiny_policy

from mobile_vla_models import DataError, TrainingConfigError, VLAPolicy
from mobile_vla_models.training import train
from mobile_vla_models.training.configuration import read_training_config
from mobile_vla_models.training.grounding import check_similarity_prompts, take_vision_tower
from mobile_vla_models.training.imitation import FeatureEpisodes, window_rows

STAGE = {"batch_size": 8, "learning_rate": 0.01, "warmup_steps": 5, "weight_decay": 0.0, "gradient_norm": 1.0}


def document(folder: Path) -> dict[str, Any]:
    return {
        "seed": 0,
        "threads": 1,
        "output": str(folder / "policy"),
        "checkpoints": str(folder / "checkpoints"),
        "checkpoint_every": 50,
        "tokenizer": {"vocab_size": 300},
        "grounding": {
            "views": str(folder / "views"),
            "validation_views": 4,
            "instructions_per_view": 2,
            "absent_share": 0.2,
            "clip": {**STAGE, "steps": 150},
            "kosmos2": {**STAGE, "steps": 10},
        },
        "imitation": {
            "bags": str(folder / "bags"),
            "validation_share": 0.2,
            "stop_weight": 0.5,
            "optimizer": {**STAGE, "steps": 250},
        },
        "policy": tiny_document(),
    }


def write(folder: Path, content: dict[str, Any]) -> Path:
    path = folder / "train.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_views(tmp_path / "views", count=24)
    # Twice the same run: the errors on the one held out are those of fitting, not of generalising.
    for name in ("one", "again"):
        write_bag(tmp_path / "bags" / name, [("turn left", 2.0), ("stop", 1.2)])
    return tmp_path


def test_one_small_set_is_overfitted(data: Path) -> None:
    """Words are grounded, runs imitated, and the policy written says in the first frame what the expert did."""
    policy = VLAPolicy.from_pretrained(train(write(data, document(data))))
    metrics = json.loads((data / "policy" / "training.json").read_text())
    clip = metrics["grounding"]["clip"]
    assert clip["accuracy"] > 0.9 > clip["chance"]
    errors = metrics["imitation"]
    assert errors["angular_z"] < 0.5 * errors["angular_z_constant"]
    assert errors["linear_x"] < 0.5 * errors["linear_x_constant"]
    chunk = policy.step(np.zeros((24, 32, 3), np.uint8), "turn left")
    np.testing.assert_allclose(chunk.velocity[0], (0.3, 0.5), atol=0.1)


def test_a_stopped_training_resumes_where_it_was(data: Path) -> None:
    """Stopped after the checkpoint of step 50 and run again, it gives the weights of an unbroken run."""
    content = document(data)
    content["grounding"]["clip"]["steps"] = 60
    unbroken = VLAPolicy.from_pretrained(train(write(data, content)))
    for name in ("kosmos2.pt", "imitation.pt"):
        (data / "checkpoints" / name).unlink()
    broken = VLAPolicy.from_pretrained(train(write(data, content)))
    for (name, one), other in zip(unbroken.model.state_dict().items(), broken.model.state_dict().values(), strict=True):
        torch.testing.assert_close(one, other, msg=name)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["sead"], 1, "sead"),
        (["grounding", "clip", "steps"], 0, "grounding.clip.steps"),
        (["policy", "window"], "many", "policy.window"),
    ],
)
def test_bad_keys_and_values_are_named(tmp_path: Path, path: list[str], value: object, message: str) -> None:
    content = copy.deepcopy(document(tmp_path))
    inner = content
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


def test_windows_begin_with_the_episode_and_never_cross_into_another() -> None:
    starts = np.array([0, 3, 10], dtype=np.int64)
    empty = torch.zeros(10, 1)
    data = FeatureEpisodes({"clip_text": empty}, torch.zeros(10, 3, 2), empty, empty.bool(), starts)
    np.testing.assert_array_equal(
        window_rows(data, np.array([0, 2, 3, 9]), window=4),
        [[0, -1, -1, -1], [0, 1, 2, -1], [3, -1, -1, -1], [6, 7, 8, 9]],
    )
