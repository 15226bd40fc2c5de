"""What torch.save writes is found again, to the last bit, in both of its formats."""

from __future__ import annotations

import argparse
import datetime
import json
from collections import OrderedDict, defaultdict
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
import torch
from checkpoint_files import DTYPES, rewrite_zip, same, save, tensor_of
from torch import nn

from mobile_vla_models.checkpoint import content
from mobile_vla_models.checkpoint.entry import TensorEntry
from mobile_vla_models.checkpoint.foreign import Foreign
from mobile_vla_models.checkpoint.reader import other_entries, read_checkpoint, state_dict
from mobile_vla_models.errors import CheckpointError

FORMATS = pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])


class Settings:
    """A class of the file's own."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.inner = {"rate": 0.5}


class SlotSettings:
    __slots__ = ("width",)

    def __init__(self, width: int) -> None:
        self.width = width


class AttributeDict(dict[str, Any]):
    """As Lightning keeps hyper-parameters."""


def model() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.LSTM(4, 5, 2))


def trained() -> tuple[nn.Module, torch.optim.Optimizer]:
    network = model()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    network(torch.randn(2, 3))[0].sum().backward()
    optimizer.step()
    return network, optimizer


@FORMATS
def test_training_checkpoint(legacy: bool, tmp_path: Path) -> None:
    network, optimizer = trained()
    document = {
        "epoch": 12,
        "model_state_dict": network.state_dict(),
        "optimizer_state_dict": optimizer.state_dict(),
        "val_mae": np.float64(0.2121),
        "args": argparse.Namespace(lr=1e-4, data=Path("/data/set"), names=["a", "b"]),
    }
    path = save(document, tmp_path / "best.pth", legacy)
    checkpoint = read_checkpoint(path)
    assert checkpoint.format == ("torch legacy" if legacy else "torch zip")
    assert checkpoint.files == (path,)
    assert checkpoint.bytes == path.stat().st_size
    assert checkpoint.calls == ()
    tensors, key = state_dict(checkpoint)
    assert key == "model_state_dict"
    expected = network.state_dict()
    assert list(tensors) == list(expected)
    assert all(same(content.read(tensors[name]), expected[name]) for name in expected)
    others = other_entries(checkpoint)
    assert list(others) == ["epoch", "optimizer_state_dict", "val_mae", "args"]
    assert (others["epoch"], others["val_mae"]) == (12, 0.2121)
    assert others["args"].name == "argparse.Namespace"
    assert others["args"].attributes["lr"] == 1e-4
    assert others["args"].attributes["names"] == ["a", "b"]
    assert others["args"].attributes["data"].name.endswith("PosixPath")
    moments = others["optimizer_state_dict"]["state"][0]
    assert same(content.read(moments["exp_avg"]), optimizer.state_dict()["state"][0]["exp_avg"])
    assert others["optimizer_state_dict"]["param_groups"][0]["lr"] == 1e-3


@FORMATS
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_protocol(protocol: int, legacy: bool, tmp_path: Path) -> None:
    document = {"state_dict": model().state_dict(), "raw": b"\0\xff", "ids": {1, 2}, "frozen": frozenset([3]), "z": 1j}
    path = tmp_path / "model.pt"
    torch.save(document, path, pickle_protocol=protocol, _use_new_zipfile_serialization=not legacy)
    checkpoint = read_checkpoint(path)
    assert other_entries(checkpoint) == {"raw": b"\0\xff", "ids": {1, 2}, "frozen": frozenset([3]), "z": 1j}
    assert state_dict(checkpoint)[0].keys() == document["state_dict"].keys()
    assert checkpoint.calls == ()


@FORMATS
def test_lightning_checkpoint_with_classes_of_its_own(legacy: bool, tmp_path: Path) -> None:
    document = {
        "epoch": 1,
        "pytorch-lightning_version": "2.1.0",
        "state_dict": OrderedDict((f"model.{name}", tensor) for name, tensor in model().state_dict().items()),
        "callbacks": {"ModelCheckpoint{'monitor': 'val'}": {"best": torch.tensor(0.5), "path": PurePosixPath("a")}},
        "hyper_parameters": AttributeDict(settings=Settings(4), args=argparse.Namespace(width=4)),
        "slots": SlotSettings(6),
        "kind": Settings,
        "when": datetime.datetime(2024, 5, 6, tzinfo=datetime.timezone.utc),
        "table": defaultdict(list, {"a": [1]}),
        "array": np.arange(3),
        "random": np.random.RandomState(0).get_state(legacy=False),
        "dtype": torch.bfloat16,
        "size": torch.Size([2, 3]),
    }
    checkpoint = read_checkpoint(save(document, tmp_path / "last.ckpt", legacy))
    tensors, key = state_dict(checkpoint)
    assert (key, list(tensors)) == ("state_dict", list(model().state_dict()))
    others = other_entries(checkpoint)
    parameters = others["hyper_parameters"]
    assert parameters.name == f"{__name__}.AttributeDict"
    assert parameters.items["settings"].name == f"{__name__}.Settings"
    assert parameters.items["settings"].attributes == {"width": 4, "inner": {"rate": 0.5}}
    assert parameters.items["args"].attributes == {"width": 4}
    assert others["slots"].attributes == {"width": 6}
    assert isinstance(others["kind"], Foreign)
    assert others["kind"].args is None
    assert others["array"].name == "numpy.ndarray"
    assert others["table"] == {"a": [1]}
    assert (others["dtype"], others["size"]) == (torch.bfloat16, (2, 3))
    assert checkpoint.calls == ()


@FORMATS
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_dtype(dtype: torch.dtype, legacy: bool, tmp_path: Path) -> None:
    document = {
        "matrix": tensor_of(dtype, 3, 5),
        "scalar": tensor_of(dtype, 1).reshape(()),
        "empty": torch.empty(0, 4, dtype=dtype),
        "part": tensor_of(dtype, 4, 6)[1:3, 2:5],
    }
    path = save(document, tmp_path / "model.pt", legacy)
    # torch cannot load its younger dtypes from its old format, though it writes them.
    expected = document if legacy else torch.load(path)
    tensors, key = state_dict(read_checkpoint(path))
    assert key is None
    for name, entry in tensors.items():
        assert entry.stride == expected[name].stride()
        assert same(content.read(entry), expected[name])
        assert same(content.mapped(entry), expected[name])


@FORMATS
def test_views_and_ties(legacy: bool, tmp_path: Path) -> None:
    base = torch.arange(24.0).reshape(4, 6)
    document = {
        "base": base,
        "tied": base,
        "rows": base[1:3],
        "transposed": base.t(),
        "steps": base[::2, 1::2],
        "diagonal": base.diagonal(),
        "repeated": base[0].expand(3, 6),
        "own": base.clone(),
        "parameter": nn.Parameter(base),
    }
    path = save(document, tmp_path / "model.pt", legacy)
    expected = torch.load(path)
    tensors, _ = state_dict(read_checkpoint(path))
    for name, entry in tensors.items():
        assert same(content.mapped(entry), expected[name].data)
        assert same(content.read(entry), expected[name].data)
        assert entry.stride == expected[name].stride()
        # The old format aligns nothing: elements at odd offsets are copied.
        assert legacy or content.mapped(entry).stride() == expected[name].stride()
    assert tensors["tied"] == tensors["base"]
    assert {entry.storage for name, entry in tensors.items() if name != "own"} == {tensors["base"].storage}
    assert tensors["own"].storage != tensors["base"].storage
    assert tensors["rows"].offset == tensors["base"].offset + 6 * 4
    assert not tensors["transposed"].is_contiguous


@FORMATS
def test_parameter_with_attributes(legacy: bool, tmp_path: Path) -> None:
    parameter = nn.Parameter(torch.ones(2))
    parameter.sharded = True
    tensor = torch.zeros(3)
    tensor.name_of = "bias"
    checkpoint = read_checkpoint(save({"a": parameter, "b": tensor}, tmp_path / "model.pt", legacy))
    assert all(isinstance(value, TensorEntry) for value in checkpoint.document.values())
    assert checkpoint.calls == ()


@pytest.mark.parametrize(
    ("odd", "name"),
    [
        (torch.ones(2, 2).to_sparse(), "torch._utils._rebuild_sparse_tensor"),
        (torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8), "torch._utils._rebuild_qtensor"),
        (torch.ones(2, dtype=torch.complex64).conj(), "torch._utils._rebuild_tensor_v2"),
        (torch.empty(2, device="meta"), "torch._utils._rebuild_meta_tensor_no_storage"),
        (torch.ones(2).untyped_storage(), "torch.storage.UntypedStorage"),
        (None, "NoneType"),
    ],
)
def test_tensors_that_bytes_do_not_make_are_refused_by_name(odd: object, name: str, tmp_path: Path) -> None:
    checkpoint = read_checkpoint(save({"state_dict": {"a.weight": torch.ones(2), "b.weight": odd}}, tmp_path / "m.pt"))
    assert checkpoint.calls == ()
    with pytest.raises(CheckpointError, match=rf"b\.weight \({name}\)"):
        state_dict(checkpoint)


def test_whole_model_is_no_state_dict(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"holds a torch\.nn\.modules\.container\.Sequential"):
        state_dict(read_checkpoint(save(model(), tmp_path / "m.pt")))
    with pytest.raises(CheckpointError, match=r"it holds model \(torch\.nn\.modules\.container\.Sequential\)"):
        state_dict(read_checkpoint(save({"model": model()}, tmp_path / "m.pt")))


@FORMATS
def test_module_class_of_old_files(legacy: bool, tmp_path: Path) -> None:
    document = read_checkpoint(save({"layer": nn.Linear(2, 3)}, tmp_path / "m.pt", legacy)).document
    assert document["layer"].name == "torch.nn.modules.linear.Linear"
    assert document["layer"].attributes["_parameters"]["weight"].shape == (3, 2)


def test_big_endian_is_refused_by_name(tmp_path: Path) -> None:
    path = rewrite_zip(save({"a": torch.ones(2)}, tmp_path / "m.pt"), {"byteorder": b"big"})
    with pytest.raises(CheckpointError, match="big-endian"):
        read_checkpoint(path)
    rewrite_zip(path, {"byteorder": b"middle"})
    with pytest.raises(CheckpointError, match="byteorder is 'middle'"):
        read_checkpoint(path)
    rewrite_zip(path, {"byteorder": None})
    assert read_checkpoint(path).document.keys() == {"a"}


def test_big_endian_legacy_is_refused_by_name(tmp_path: Path) -> None:
    path = save({"a": torch.ones(2)}, tmp_path / "m.pt", legacy=True)
    data = path.read_bytes()
    place = data.index(b"little_endian") + len(b"little_endian")
    flag = data.index(b"\x88", place)
    path.write_bytes(data[:flag] + b"\x89" + data[flag + 1 :])
    with pytest.raises(CheckpointError, match="big-endian"):
        read_checkpoint(path)


def test_compressed_records_are_refused(tmp_path: Path) -> None:
    path = rewrite_zip(save({"a": torch.ones(2)}, tmp_path / "m.pt"), {}, compression=8)
    with pytest.raises(CheckpointError, match="compressed"):
        read_checkpoint(path)


def test_missing_and_short_storages_are_named(tmp_path: Path) -> None:
    path = rewrite_zip(save({"a": torch.ones(2)}, tmp_path / "m.pt"), {"data/0": b"\0" * 7})
    with pytest.raises(CheckpointError, match=r"m/data/0 has 7 bytes, its pickle says 8"):
        read_checkpoint(path)
    rewrite_zip(path, {"data/0": None})
    with pytest.raises(CheckpointError, match=r"no record m/data/0"):
        read_checkpoint(path)


def test_torchscript_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    rewrite_zip(save({}, path), {"constants.pkl": b"\x80\x02).", "code/x.py": b""})
    with pytest.raises(CheckpointError, match="TorchScript"):
        read_checkpoint(path)


def test_other_zip_archives_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "arrays.npz", a=np.ones(2))
    with pytest.raises(CheckpointError, match=r"data\.pkl.*a\.npy"):
        read_checkpoint(tmp_path / "arrays.npz")


def test_records_may_have_no_checksums(tmp_path: Path) -> None:
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        path = save({"a": torch.ones(2)}, tmp_path / "m.pt")
    finally:
        torch.serialization.set_crc32_options(before)
    assert same(content.read(read_checkpoint(path).document["a"]), torch.ones(2))


def test_document_is_not_kept_open_or_printed_whole(tmp_path: Path) -> None:
    document = read_checkpoint(save({"args": argparse.Namespace(a=list(range(1000)))}, tmp_path / "m.pt")).document
    assert json.dumps(str(document)) == json.dumps("{'args': <argparse.Namespace>}")


@pytest.mark.parametrize(("size", "message"), [(200, "overlaps the one before it"), (10**6, "ends at byte 10")])
def test_records_lie_apart_and_inside_the_file(size: int, message: str, tmp_path: Path) -> None:
    path = save({"a": torch.ones(2), "b": torch.ones(2)}, tmp_path / "m.pt")
    data = path.read_bytes()
    # The directory's entry: signature, ..., two sizes at 20, ..., the name at 46.
    entry = data.rindex(b"m/data/0") - 46
    assert data[entry : entry + 4] == b"PK\x01\x02"
    path.write_bytes(data[: entry + 20] + 2 * size.to_bytes(4, "little") + data[entry + 28 :])
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(path)
