"""The dry run finds what a training would fail on, and leaves nothing behind."""

from __future__ import annotations

import re
import shutil
from collections import namedtuple
from itertools import count
from pathlib import Path
from typing import Any

import cv2
import pytest
from accelerate.state import AcceleratorState
from recordings import write_bag, write_views
from rich.console import Console
from tiny import tiny_policy
from trainings import document, live, write

from mobile_vla_models import TrainingConfigError
from mobile_vla_models.training import dry_run
from mobile_vla_models.training.configuration import read_recipe, read_training_config

CONFIGS = Path(__file__).parents[3] / "config" / "train"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    AcceleratorState._reset_state(True)
    write_views(tmp_path / "views", count=24)
    for name in ("one", "again"):
        write_bag(tmp_path / "bags" / name, [("turn left", 2.0), ("turn right", 1.2)])
    return tmp_path


def test_each_stage_takes_a_step_and_nothing_is_written(data: Path) -> None:
    found = dry_run(write(data, document(data)))
    assert [step.stage for step in found.steps] == ["clip", "kosmos2", "imitation"]
    assert all(step.losses["loss"] > 0.0 and step.trainable > 0 and step.memory > 0 for step in found.steps)
    assert found.episodes == (2, 2)
    assert found.frames[0] > 10
    assert not (data / "out").exists()
    Console(quiet=True).print(found.table())


def test_a_fine_tuning_takes_a_step(data: Path) -> None:
    tiny_policy().save_pretrained(data / "pretrained", {"parameters": 0}, "# tiny\n")
    made = live(document(data), steps=5, decoder="all")
    made["start"] = {"type": "pretrained", "policy": str(data / "pretrained")}
    found = dry_run(write(data, made))
    assert [step.stage for step in found.steps] == ["imitation"]
    assert not (data / "out").exists()


def test_a_disk_that_is_too_small_is_named(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(2**20, 2**20 - 1000, 1000))
    with pytest.raises(TrainingConfigError, match=r"output: .*out will need .* are free"):
        dry_run(write(data, document(data)))


def test_frames_that_cannot_be_used_are_counted_and_end_nothing(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = live(document(data), steps=1, decoder="all")
    encode, numbers = cv2.imencode, count()

    def damaged(extension: str, picture: Any, options: Any) -> tuple[bool, Any]:
        done, encoded = encode(extension, picture, options)
        return done, encoded[:-40] if next(numbers) % 8 == 3 else encoded

    with monkeypatch.context() as patch:
        patch.setattr("mobile_vla_ros.sim.bag.cv2.imencode", damaged)
        for name in ("one", "again"):
            shutil.rmtree(data / "bags" / name)
            write_bag(data / "bags" / name, [("turn left", 2.0), ("stop", 1.2)])
    assert dry_run(write(data, made)).frames[0] > 5
    assert re.search(r"camera front: 8 of 64 frames left out: compressed image", capsys.readouterr().out)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_configurations_that_are_shipped_are_whole(path: Path) -> None:
    config = read_training_config(path)
    assert config.output.name == path.stem
    assert any(f"config/train/{path.name}" in command for command in read_recipe(path))
