"""The same episodes train to the same loss, whatever format they are read from."""

from __future__ import annotations

import json

import pytest
import torch
from accelerate.state import AcceleratorState
from recordings import write_bag
from tiny import tiny_policy
from trainings import document, live, write

from mobile_vla_models.data.configuration import Hdf5Target, LeRobotTarget, Rosbag2Source, TargetConfig
from mobile_vla_models.data.convert import convert_data
from mobile_vla_models.training import train

TARGETS: dict[str, TargetConfig] = {
    "hdf5": Hdf5Target(type="hdf5"),
    "v3.0": LeRobotTarget(type="lerobot", fps=10),
    "v2.1": LeRobotTarget(type="lerobot", fps=10, version="v2.1"),
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[float, float, list[str]]]:
    """Of each format: loss after the first seeded step, its gradient's size, and marks of the episodes."""
    folder = tmp_path_factory.mktemp("formats")
    tiny_policy().save_pretrained(folder / "pretrained", {"parameters": 0}, "# tiny\n")
    for number, name in enumerate(("one", "again")):
        write_bag(folder / "bags" / name, [("turn left", 2.0), ("go to the red box", 1.6)], seed=number)
    bags = Rosbag2Source(type="rosbag2", path=folder / "bags", cameras={"front": "/camera/image_raw"})
    sources = {"bags": bags.model_dump(mode="json")}
    for name, target in TARGETS.items():
        sources[name] = convert_data(bags, target, folder / name).source.model_dump(mode="json")
    found = {}
    for name, source in sources.items():
        AcceleratorState._reset_state(True)
        made = live(document(folder), steps=1, decoder="all")
        made |= {"sources": [source], "output": str(folder / "out" / name)}
        made["start"] = {"type": "pretrained", "policy": str(folder / "pretrained")}
        best = train(write(folder, made))
        measured = json.loads((best / "training.json").read_text())
        assert measured["started_from"]["policy"] == str(folder / "pretrained")
        assert measured["started_from"]["training"] == {"parameters": 0}
        state = torch.load(folder / "out" / name / "checkpoints" / "imitation.pt", weights_only=True)
        moment = sum(float(part["exp_avg"].double().square().sum()) for part in state["optimizer"]["state"].values())
        found[name] = (measured["imitation"]["loss"], moment, measured["data"]["trained_on"])
    return found


@pytest.mark.parametrize("name", TARGETS)
def test_a_seeded_step_is_the_same_from_every_format(
    trained: dict[str, tuple[float, float, list[str]]], name: str
) -> None:
    """The loss after the step, and its gradient by way of the optimizer's first moment."""
    assert trained[name][:2] == pytest.approx(trained["bags"][:2], rel=1e-6)
    assert trained["bags"][1] > 0.0


@pytest.mark.parametrize("name", TARGETS)
def test_episodes_are_known_again_in_every_format(
    trained: dict[str, tuple[float, float, list[str]]], name: str
) -> None:
    assert len(trained["bags"][2]) == 2, "of two recordings with two episodes each one was held out"
    assert trained[name][2] == trained["bags"][2]
