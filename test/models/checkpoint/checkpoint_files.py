"""Files of weights that the tests of the reader write, and pickles put together by hand."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mobile_vla_models.checkpoint.entry import TensorEntry

GENERATOR_SEED = 7
FLOAT8 = [torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz]
DTYPES = [
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16, *FLOAT8),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.uint16, torch.uint32, torch.uint64),
    *(torch.bool, torch.complex64),
]


def tensor_of(dtype: torch.dtype, *shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(GENERATOR_SEED)
    values = torch.randint(-9, 9, shape, generator=generator).float()
    return (values.abs() if not dtype.is_signed else values / 4 if dtype.is_floating_point else values).to(dtype)


def bits(tensor: Tensor) -> bytes:
    """The elements in row-major order: how tensors of any dtype are compared to the last bit."""
    copy = tensor.detach().clone(memory_format=torch.contiguous_format).view(-1)
    return copy.view(torch.uint8).numpy().tobytes() if tensor.numel() else b""


def same(first: Tensor, second: Tensor) -> bool:
    return first.dtype == second.dtype and first.shape == second.shape and bits(first) == bits(second)


def entry_for(path: Path, tensor: Tensor, offset: int = 0) -> TensorEntry:
    """A file with the tensor's storage as it is, `offset` bytes from the start, and where the tensor lies in it."""
    data = torch.empty(0, dtype=torch.uint8).set_(tensor.untyped_storage()).numpy().tobytes()
    path.write_bytes(b"\xff" * offset + data + b"\xff" * 5)
    place = offset + tensor.storage_offset() * tensor.dtype.itemsize
    return TensorEntry(tensor.dtype, tuple(tensor.shape), tuple(tensor.stride()), path, place, offset)


def save(document: Any, path: Path, legacy: bool = False) -> Path:
    torch.save(document, path, _use_new_zipfile_serialization=not legacy)
    return path


def rewrite_zip(path: Path, changes: dict[str, bytes | None], compression: int = zipfile.ZIP_STORED) -> Path:
    """Replace (or with None remove) records of a zip archive, named without the folder that they lie in."""
    with zipfile.ZipFile(path) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    folder = next(name for name in records if name.endswith("data.pkl")).removesuffix("data.pkl")
    for name, content in changes.items():
        if content is None:
            del records[folder + name]
        else:
            records[folder + name] = content
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in records.items():
            archive.writestr(name, content)
    return path


def pickled_by_hand(pickled: bytes, path: Path, legacy: bool = False) -> Path:
    """A file of torch.save whose document is this pickle."""
    if not legacy:
        return rewrite_zip(save({}, path), {"data.pkl": pickled})
    content = io.BytesIO()
    torch.save(None, content, _use_new_zipfile_serialization=False)
    path.write_bytes(content.getvalue().replace(pickle.dumps(None, protocol=2) + b"\x80\x02]", pickled + b"\x80\x02]"))
    return path
