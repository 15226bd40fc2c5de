"""Files that are cut off, damaged or of another kind: one clear error, and never another exception."""

from __future__ import annotations

import argparse
import io
import json
import random
import struct
import tarfile
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoint_files import save
from safetensors.torch import save_file

from mobile_vla_models.checkpoint import content
from mobile_vla_models.checkpoint.entry import TensorEntry
from mobile_vla_models.checkpoint.reader import other_entries, read_checkpoint, state_dict
from mobile_vla_models.errors import CheckpointError

KINDS = ("zip", "legacy", "safetensors")
FLIPS = 250


def small(kind: str, path: Path) -> Path:
    weights = {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.ones(3, dtype=torch.int64)}
    if kind == "safetensors":
        save_file(weights, path)
        return path
    document = {"epoch": 1, "state_dict": weights, "args": argparse.Namespace(lr=0.1), "part": weights["a.weight"].t()}
    return save(document, path, legacy=kind == "legacy")


def use(path: Path) -> None:
    """All that is done with a checkpoint."""
    checkpoint = read_checkpoint(path)
    tensors, _ = state_dict(checkpoint)
    entries = [*tensors.values(), *(v for v in other_entries(checkpoint).values() if isinstance(v, TensorEntry))]
    for entry in entries:
        content.read(entry)
        content.mapped(entry)
        content.not_finite(entry)


@pytest.mark.parametrize("kind", KINDS)
def test_cut_off_anywhere(kind: str, tmp_path: Path) -> None:
    path = small(kind, tmp_path / "m.pt")
    use(path)
    data = path.read_bytes()
    for length in {*range(0, len(data), 7), *range(min(300, len(data))), len(data) - 1}:
        path.write_bytes(data[:length])
        with pytest.raises(CheckpointError, match=r"m\.pt"):
            read_checkpoint(path)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", [0, 1])
def test_flipped_bits(kind: str, seed: int, tmp_path: Path) -> None:
    path = small(kind, tmp_path / "m.pt")
    data = path.read_bytes()
    chance = random.Random(seed)
    outcomes = set()
    for _ in range(FLIPS):
        damaged = bytearray(data)
        for _ in range(chance.choice((1, 1, 2, 8))):
            damaged[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged)
        try:
            use(path)
            outcomes.add("read")
        except CheckpointError:
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}


@pytest.mark.parametrize("legacy", [False, True])
def test_flipped_bits_of_the_pickle(legacy: bool, tmp_path: Path) -> None:
    path = small("legacy" if legacy else "zip", tmp_path / "m.pt")
    data = path.read_bytes()
    begin, end = data.index(b"epoch") - 20, data.rindex(b"Namespace") + 60
    chance = random.Random(5)
    outcomes = set()
    for _ in range(FLIPS):
        damaged = bytearray(data)
        damaged[chance.randrange(begin, end)] = chance.randrange(256)
        path.write_bytes(damaged)
        try:
            use(path)
            outcomes.add("read")
        except CheckpointError:
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}


def archive() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("storages"))
    return file.getvalue()


OTHERS = {
    "empty": (b"", r"is empty \(0 bytes\)"),
    "pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 7428\n", "git-LFS pointer"),
    "page": (b"\n<!DOCTYPE html><html><body>Sign in</body></html>", "web page"),
    "text": (b"Access denied: quota exceeded\n", "text file that begins with 'Access denied"),
    "json": (b'{"abcd":{"error": "Repository not found"}}', "text file"),
    "tar": (archive(), "tar archive"),
    "gzip": (b"\x1f\x8b\x08" + bytes(20), "gzip"),
    "gguf": (b"GGUF\x03" + bytes(20), "GGUF"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(20), "HDF5"),
    "zeros": (bytes(4096), "zeros only"),
    "noise": (b"\xfe\xdc\xba\x98" + bytes(20), "unknown format and begins with the bytes fe dc ba 98"),
    "pickle": (b"\x80\x04}.", "a pickle that torch.save did not write: it holds a dict"),
    "evil pickle": (b"\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R.", "would call posix.system"),
}


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_other_files_are_named(name: str, suffix: str, tmp_path: Path) -> None:
    data, message = OTHERS[name]
    path = tmp_path / f"m.{suffix}"
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(path)


def test_missing_file_and_pipes(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="does not exist"):
        read_checkpoint(tmp_path / "none.pth")
    with pytest.raises(CheckpointError, match=r"none\.index\.json: not readable"):
        read_checkpoint(tmp_path / "none.index.json")
    with pytest.raises(CheckpointError, match="no regular file"):
        read_checkpoint(Path("/dev/null"))


def test_legacy_with_bytes_behind_it(tmp_path: Path) -> None:
    path = small("legacy", tmp_path / "m.pt")
    path.write_bytes(path.read_bytes() + b"\0\0")
    with pytest.raises(CheckpointError, match="2 bytes follow its last storage"):
        read_checkpoint(path)


def test_legacy_with_another_number_of_elements(tmp_path: Path) -> None:
    path = small("legacy", tmp_path / "m.pt")
    data = path.read_bytes()
    place = data.rindex(struct.pack("<q", 6))
    path.write_bytes(data[:place] + struct.pack("<q", 5) + data[place + 8 :])
    with pytest.raises(CheckpointError, match="has 5 elements, its pickle says 6"):
        read_checkpoint(path)


def large_safetensors(path: Path) -> Path:
    header: dict[str, Any] = {}
    size, each = 0, 7_000_000
    for layer in range(265):
        header[f"layers.{layer}.weight"] = {
            "dtype": "F32",
            "shape": [each // 1000, 1000],
            "data_offsets": [size, size + 4 * each],
        }
        size += 4 * each
    encoded = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(encoded)) + encoded)
    with path.open("r+b") as file:
        file.truncate(8 + len(encoded) + size)
    return path


def large_zip(path: Path) -> Path:
    # Memory that is never touched is never there.
    state = {f"layers.{layer}.weight": torch.empty(7000, 1000) for layer in range(265)}
    with torch.serialization.skip_data():
        torch.save({"epoch": 1, "model_state_dict": state, "args": argparse.Namespace(lr=0.1)}, path)
    return path


@pytest.mark.parametrize("write", [large_safetensors, large_zip])
def test_large_file_is_opened_without_reading_it(write: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "large")
    assert path.stat().st_size > 7 * 10**9
    counters = Path("/proc/self/io")
    before = counters.read_text()
    tracemalloc.start()
    try:
        tensors, _ = state_dict(read_checkpoint(path))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    read = [int(text.split("rchar: ")[1].split()[0]) for text in (before, counters.read_text())]
    assert len(tensors) == 265
    assert peak < 4 * 2**20
    assert read[1] - read[0] < 2**20
    last = tensors["layers.264.weight"]
    assert content.rows(last, 6999, 7000).shape == (1, 1000)


def test_legacy_that_is_cut_off_says_so(tmp_path: Path) -> None:
    path = small("legacy", tmp_path / "m.pt")
    data = path.read_bytes()
    for length in (len(data) - 1, len(data) - 20):
        path.write_bytes(data[:length])
        with pytest.raises(CheckpointError, match=f"is cut off: it has {length} bytes, storage .* ends at"):
            read_checkpoint(path)
