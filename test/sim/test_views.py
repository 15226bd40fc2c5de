"""Grounding views: form, labels and repeatability, on shards of a few pictures."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from mobile_vla_ros.sim import views
from mobile_vla_ros.sim.scene import NAMES
from mobile_vla_ros.sim.task import TaskKind, made_up
from mobile_vla_ros.sim.world import FLOOR_LABEL, WALL_LABEL


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One shard of 40 views."""
    out = tmp_path_factory.mktemp("views")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(views, "SHARD", 40)
        views.render_shard(out, seed=3, shard=1)
    return out


def test_a_shard_has_the_promised_form(folder: Path) -> None:
    arrays = load_file(folder / "seed3_00001.safetensors")
    assert [path.name for path in folder.iterdir()] == ["seed3_00001.safetensors"]
    assert {name: (array.dtype, array.shape) for name, array in arrays.items()} == {
        "rgb": (np.dtype(np.uint8), (40, 120, 160, 3)),
        "classes": (np.dtype(np.uint8), (40, 120, 160)),
    }
    assert set(np.unique(arrays["classes"]).tolist()) <= {*range(len(NAMES) + 1), FLOOR_LABEL, WALL_LABEL}


def test_classes_name_what_is_seen(folder: Path) -> None:
    arrays = load_file(folder / "seed3_00001.safetensors")
    strongest = {"red": 0, "green": 1, "blue": 2}
    checked = 0
    for rgb, classes in zip(arrays["rgb"], arrays["classes"], strict=True):
        for number in np.unique(classes[(classes > 0) & (classes <= len(NAMES))]):
            color = NAMES[number - 1].split()[0]
            if color in strongest and (classes == number).sum() >= 50:
                assert rgb[classes == number].mean(axis=0).argmax() == strongest[color]
                checked += 1
    assert checked >= 5


def test_most_views_show_an_object(folder: Path) -> None:
    classes = load_file(folder / "seed3_00001.safetensors")["classes"]
    shown = ((classes > 0) & (classes <= len(NAMES))).sum(axis=(1, 2)) >= 30
    assert shown.mean() > 0.7


def test_the_same_seed_renders_the_same_views(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "SHARD", 40)
    views.render_shard(tmp_path, seed=3, shard=1)
    views.render_shard(tmp_path, seed=4, shard=1)
    first = load_file(folder / "seed3_00001.safetensors")
    again, other = (
        load_file(tmp_path / "seed3_00001.safetensors"),
        load_file(tmp_path / "seed4_00001.safetensors"),
    )
    np.testing.assert_array_equal(again["classes"], first["classes"])
    np.testing.assert_array_equal(again["rgb"], first["rgb"])
    assert not np.array_equal(other["classes"], first["classes"])


def test_the_index_has_sentences_for_all_and_shards_there_are_kept(tmp_path: Path) -> None:
    shard = tmp_path / "seed0_00000.safetensors"
    shard.write_bytes(b"already here")
    views.render_views(tmp_path, views.SHARD, seed=0)
    assert shard.read_bytes() == b"already here"
    index = json.loads((tmp_path / "views.json").read_text(encoding="utf-8"))
    assert index["classes"] == list(NAMES)
    assert set(index["phrases"]) == {*NAMES, ""}
    for name in NAMES:
        assert f"the {name}" in index["phrases"][name]
        assert all(name in sentence for sentence in index["phrases"][name])
    assert {"turn left", "turn right", "stop"} <= set(index["phrases"][""])
    strange = Counter(
        text.replace(name, "{target}") for name in NAMES for text in index["phrases"][name] if text in _made_up(name)
    )
    assert strange.total() == 50 * len(NAMES)
    assert sum(count >= 2 for count in strange.values()) > 0.9 * len(strange), "a word that stands beside one name"


def _made_up(name: str) -> set[str]:
    return {text.format(target=name) for text in made_up(TaskKind.GO_TO)}


@pytest.mark.parametrize("count", [0, -2000, 100])
def test_refuses_odd_counts(tmp_path: Path, count: int) -> None:
    with pytest.raises(ValueError, match="multiple of 2000"):
        views.render_views(tmp_path, count, seed=0)
