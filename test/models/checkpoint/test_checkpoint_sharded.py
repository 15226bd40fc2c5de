"""Directories of shards: exactly what the index says, in both formats; directories of other kinds are named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoint_files import same, save
from safetensors.torch import save_file
from torch import Tensor

from mobile_vla_models.checkpoint import content
from mobile_vla_models.checkpoint.reader import read_checkpoint, state_dict
from mobile_vla_models.errors import CheckpointError

TENSORS = {f"layers.{index}.weight": torch.full((2, 3), float(index)) for index in range(5)}


def write(folder: Path, torch_format: bool = False, index: str | None = None) -> Path:
    parts: list[dict[str, Tensor]] = [dict(list(TENSORS.items())[:3]), dict(list(TENSORS.items())[3:])]
    stem, suffix = ("pytorch_model", "bin") if torch_format else ("model", "safetensors")
    weight_map = {}
    for number, part in enumerate(parts, start=1):
        name = f"{stem}-{number:05}-of-00002.{suffix}"
        if torch_format:
            save(part, folder / name)
        else:
            save_file(part, folder / name)
        weight_map |= dict.fromkeys(part, name)
    document = {"metadata": {"total_size": 120}, "weight_map": weight_map}
    (folder / (index or f"{stem}.{suffix}.index.json")).write_text(json.dumps(document))
    return folder


def change(folder: Path, **entries: Any) -> Path:
    (path,) = folder.glob("*.index.json")
    document = json.loads(path.read_text())
    document["weight_map"] |= entries
    path.write_text(json.dumps(document))
    return folder


@pytest.mark.parametrize("by_index", [False, True])
@pytest.mark.parametrize("torch_format", [False, True])
@pytest.mark.parametrize("index", [None, "other.index.json"])
def test_round_trip(index: str | None, torch_format: bool, by_index: bool, tmp_path: Path) -> None:
    folder = write(tmp_path, torch_format, index)
    path = next(folder.glob("*.index.json")) if by_index else folder
    checkpoint = read_checkpoint(path)
    assert checkpoint.path == path
    assert checkpoint.format == ("sharded torch" if torch_format else "sharded safetensors")
    assert checkpoint.files == tuple(sorted(folder.glob("*-of-*")))
    assert checkpoint.bytes == sum(file.stat().st_size for file in checkpoint.files)
    tensors, key = state_dict(checkpoint)
    assert key is None
    assert tensors.keys() == TENSORS.keys()
    assert all(same(content.read(tensors[name]), TENSORS[name]) for name in TENSORS)


def test_written_by_the_hub_library(tmp_path: Path) -> None:
    library = pytest.importorskip("huggingface_hub")
    library.save_torch_state_dict(TENSORS, tmp_path, max_shard_size=50)
    checkpoint = read_checkpoint(tmp_path)
    assert checkpoint.format == "sharded safetensors"
    assert len(checkpoint.files) > 1
    tensors, _ = state_dict(checkpoint)
    assert all(same(content.read(tensors[name]), TENSORS[name]) for name in TENSORS)


def test_missing_shard_is_named(tmp_path: Path) -> None:
    (write(tmp_path) / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"missing shards: model-00002-of-00002\.safetensors"):
        read_checkpoint(tmp_path)


def test_shard_that_lacks_a_tensor_or_holds_more_is_named(tmp_path: Path) -> None:
    change(write(tmp_path), extra="model-00001-of-00002.safetensors")
    with pytest.raises(CheckpointError, match=r"model-00001-of-00002\.safetensors is not .*: missing extra"):
        read_checkpoint(tmp_path)
    change(write(tmp_path), **{"layers.4.weight": "model-00001-of-00002.safetensors"})
    with pytest.raises(CheckpointError, match=r"missing layers\.4\.weight"):
        read_checkpoint(tmp_path)
    write(tmp_path)
    save_file({**TENSORS, "more": torch.ones(1)}, tmp_path / "model-00002-of-00002.safetensors")
    with pytest.raises(CheckpointError, match=r"unknown layers\.0\.weight; .*unknown more"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize("name", ["../model.safetensors", "/etc/passwd", "a\\b", "..", "", "a\0b", 3])
def test_shards_lie_beside_the_index(name: object, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="expected the name of a file beside it"):
        read_checkpoint(change(write(tmp_path), **{"layers.0.weight": name}))


@pytest.mark.parametrize("text", ["", "[]", "{", '{"weight_map": {}}', '{"weight_map": 3}', "[" * 100_000])
def test_damaged_index(text: str, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"model\.safetensors\.index\.json"):
        read_checkpoint(tmp_path)


def test_mixed_formats_and_wrapped_shards_are_refused(tmp_path: Path) -> None:
    write(tmp_path)
    save(dict(list(TENSORS.items())[3:]), tmp_path / "model-00002-of-00002.safetensors")
    with pytest.raises(CheckpointError, match="expected one format"):
        read_checkpoint(tmp_path)
    save({"state_dict": {}}, tmp_path / "model-00002-of-00002.safetensors")
    with pytest.raises(CheckpointError, match=r"more than tensors by name: state_dict \(dict\)"):
        read_checkpoint(tmp_path)


def test_several_indices_must_be_chosen_from(tmp_path: Path) -> None:
    write(tmp_path, index="a.index.json")
    write(tmp_path, index="b.index.json")
    with pytest.raises(CheckpointError, match=r"a\.index\.json; b\.index\.json"):
        read_checkpoint(tmp_path)
    assert read_checkpoint(tmp_path / "a.index.json").document.keys() == TENSORS.keys()


def test_directories_of_other_kinds_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="without an index of shards"):
        read_checkpoint(tmp_path)
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(CheckpointError, match=r"it holds model\.safetensors: name the file"):
        read_checkpoint(tmp_path)
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / "mp_rank_00_model_states.pt").touch()
    with pytest.raises(CheckpointError, match="zero_to_fp32"):
        read_checkpoint(tmp_path)


def test_distributed_checkpoint_is_named(tmp_path: Path) -> None:
    (tmp_path / ".metadata").touch()
    (tmp_path / "__0_0.distcp").touch()
    with pytest.raises(CheckpointError, match="dcp_to_torch"):
        read_checkpoint(tmp_path)
