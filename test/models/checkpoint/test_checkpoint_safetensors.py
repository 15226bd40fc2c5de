"""safetensors files: what the library writes is found again, and what it refuses is refused."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoint_files import DTYPES, same, tensor_of
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from mobile_vla_models.checkpoint import content
from mobile_vla_models.checkpoint.reader import other_entries, read_checkpoint, state_dict
from mobile_vla_models.errors import CheckpointError

DTYPES_KNOWN = [dtype for dtype in DTYPES if "fnuz" not in str(dtype)]


def write(path: Path, header: Any, data: bytes = b"") -> Path:
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(encoded)) + encoded + data)
    return path


def tensor(begin: int, end: int, shape: list[int], dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize("dtype", DTYPES_KNOWN, ids=str)
def test_round_trip(dtype: torch.dtype, tmp_path: Path) -> None:
    expected = {
        "matrix": tensor_of(dtype, 3, 5),
        "scalar": tensor_of(dtype, 1).reshape(()),
        "empty": torch.empty(0, 4, dtype=dtype),
        "odd": tensor_of(torch.uint8, 3),
    }
    path = tmp_path / "model.safetensors"
    save_file(expected, path, metadata={"format": "pt", "note": "hand"})
    checkpoint = read_checkpoint(path)
    assert (checkpoint.format, checkpoint.files) == ("safetensors", (path,))
    assert checkpoint.bytes == path.stat().st_size
    assert checkpoint.metadata == {"format": "pt", "note": "hand"}
    tensors, key = state_dict(checkpoint)
    assert key is None
    assert other_entries(checkpoint) == {}
    assert tensors.keys() == expected.keys()
    for name, entry in tensors.items():
        assert entry.is_contiguous
        assert same(content.read(entry), expected[name])
        assert same(content.mapped(entry), expected[name])


FAULTS = {
    "hole": ({"a": tensor(0, 4, [1]), "b": tensor(8, 12, [1])}, 12, "hole"),
    "hole at the beginning": ({"a": tensor(4, 8, [1])}, 8, "hole"),
    "overlap": ({"a": tensor(0, 8, [2]), "b": tensor(4, 12, [2])}, 12, "overlaps"),
    "same place": ({"a": tensor(0, 4, [1]), "b": tensor(0, 4, [1])}, 4, "overlaps"),
    "beyond the end": ({"a": tensor(0, 8, [2])}, 7, "cut off"),
    "more than the tensors": ({"a": tensor(0, 8, [2])}, 9, "belong to no tensor"),
    "size": ({"a": tensor(0, 8, [3])}, 8, "8 bytes, but 12 in its shape"),
    "backwards": ({"a": tensor(8, 0, [2])}, 8, "-8 bytes"),
    "negative": ({"a": tensor(-4, 4, [2])}, 8, "whole numbers"),
    "negative shape": ({"a": tensor(0, 4, [-1, -1])}, 4, "whole numbers"),
    "fraction": ({"a": tensor(0, 4, [1.0])}, 4, "whole numbers"),
    "dtype": ({"a": tensor(0, 4, [1], "F33")}, 4, "dtype F33"),
    "no dtype": ({"a": {"shape": [1], "data_offsets": [0, 4]}}, 4, "not described"),
    "no object": ({"a": [0, 4]}, 4, "not described"),
    "metadata": ({"__metadata__": {"a": 1}}, 0, "no object of texts"),
    "twice": (b'{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":{}}', 0, "a stands there twice"),
    "no JSON": (b'{"a":', 0, "JSON"),
    "no UTF-8": (b'{"\xff":1}', 0, "JSON"),
    "deep": (b'{"a":' + b"[" * 100_000, 0, "JSON"),
    "overflow": ({"a": tensor(0, 4, [2**62, 2**62, 4])}, 4, "bytes, but"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_refused(name: str, tmp_path: Path) -> None:
    header, size, message = FAULTS[name]
    path = write(tmp_path / "m.safetensors", header, bytes(size))
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(path)
    with pytest.raises(SafetensorError), safe_open(path, "pt") as file:
        file.keys()


def test_header_longer_than_the_file(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(struct.pack("<Q", 5000) + b"{}")
    with pytest.raises(CheckpointError, match="it has 10 bytes, its header ends at 5008"):
        read_checkpoint(path)
    path.write_bytes(struct.pack("<Q", 2**33) + b"{}")
    with pytest.raises(CheckpointError, match=f"header of {2**33} bytes"):
        read_checkpoint(path)
