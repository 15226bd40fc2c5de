"""The state dict of a checkpoint: where it lies and what wrappers wrote before its names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoint_files import save

from mobile_vla_models.checkpoint.reader import other_entries, read_checkpoint, state_dict
from mobile_vla_models.errors import CheckpointError

T = torch.ones(2)


def names(document: Any, path: Path) -> list[str]:
    return list(state_dict(read_checkpoint(save(document, path / "m.pt")))[0])


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model"])
def test_keys(key: str, tmp_path: Path) -> None:
    checkpoint = read_checkpoint(save({"epoch": 3, key: {"a": T}, "none": None}, tmp_path / "m.pt"))
    tensors, found = state_dict(checkpoint)
    assert (list(tensors), found) == (["a"], key)
    assert other_entries(checkpoint) == {"epoch": 3, "none": None}


def test_plain_state_dict_may_name_a_tensor_as_a_key(tmp_path: Path) -> None:
    checkpoint = read_checkpoint(save({"model": T, "b": T}, tmp_path / "m.pt"))
    assert state_dict(checkpoint)[1] is None
    assert list(state_dict(checkpoint)[0]) == ["model", "b"]
    assert other_entries(checkpoint) == {}


@pytest.mark.parametrize(
    "prefix",
    [
        *("module.", "model.", "_orig_mod.", "_forward_module.", "module.module."),
        *("_forward_module.module.model.", "model._orig_mod.", "_orig_mod.module._orig_mod.model."),
    ],
)
def test_prefixes_of_all_names_are_removed(prefix: str, tmp_path: Path) -> None:
    assert names({f"{prefix}a.weight": T, f"{prefix}b": T}, tmp_path) == ["a.weight", "b"]


def test_prefixes_of_some_names_are_kept(tmp_path: Path) -> None:
    kept = ["model.a.weight", "head.weight", "module.b"]
    assert names(dict.fromkeys(kept, T), tmp_path) == kept
    assert names({"modular.a": T}, tmp_path) == ["modular.a"]


def test_compiled_submodules(tmp_path: Path) -> None:
    compiled = ["vision._orig_mod.weight", "head.0._orig_mod.inner._orig_mod.bias", "scale"]
    assert names(dict.fromkeys(compiled, T), tmp_path) == ["vision.weight", "head.0.inner.bias", "scale"]


def test_one_module_by_two_ways(tmp_path: Path) -> None:
    assert names({"a.weight": T, "a._orig_mod.weight": T}, tmp_path) == ["a.weight"]
    with pytest.raises(CheckpointError, match=r"two tensors a\.weight, one as a\._orig_mod\.weight"):
        names({"a.weight": T, "a._orig_mod.weight": torch.zeros(2)}, tmp_path)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "it is empty"),
        ({"state_dict": {}}, "state_dict holds no tensors"),
        ([T], "holds a list"),
        (T, "holds a TensorEntry"),
        ({"epoch": 3, "weights": {"a": T}}, r"it holds epoch \(int\); weights \(dict\)"),
        ({"a": T, "epoch": 3}, r"more than tensors by name: epoch \(int\)"),
        ({"state_dict": {"a": T, "b": [T], 3: T}}, r"state_dict holds more than .*: b \(list\); int 3 \(TensorEntry\)"),
        ({"module": {"a": T}, "ds_version": "0.15"}, "DeepSpeed"),
    ],
)
def test_what_is_no_state_dict_is_said(document: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=message):
        names(document, tmp_path)


def test_a_key_of_thousands_of_digits_is_named_by_its_size(tmp_path: Path) -> None:
    long = 1 << 16000
    assert other_entries(read_checkpoint(save({"state_dict": {"a": T}, long: 1}, tmp_path / "m.pt"))) == {
        "int of 16001 bits": 1
    }
    with pytest.raises(CheckpointError, match=r"holds no state dict .*int of 16001 bits \(int\)"):
        names({long: 1}, tmp_path)
