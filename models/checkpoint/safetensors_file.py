"""A safetensors file: the length of its header, the header in JSON, the tensors side by side.

The safetensors library gives tensors but not where they lie, and that is what is needed to read them piece by piece.
"""

from __future__ import annotations

import json
import struct
from math import prod
from pathlib import Path
from typing import Any

from ..errors import CheckpointError
from .container import Checkpoint
from .dtypes import SAFETENSORS
from .entry import TensorEntry
from .foreign import printable
from .storage import MOST_DIMENSIONS

MOST_HEADER = 100_000_000
"""Bytes: the library's own limit."""
METADATA = "__metadata__"
_LENGTH = struct.Struct("<Q")
_LARGEST = 2**63 - 1


def read_safetensors(path: Path) -> Checkpoint:
    """Read the header of a safetensors file. An empty tensor's `storage` can be that of the tensor behind it.

    Raises:
        CheckpointError: cut off, damaged, tensors that overlap or leave holes, or of a dtype that torch does not have.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        prefix = file.read(_LENGTH.size)
        if len(prefix) < _LENGTH.size:
            raise CheckpointError(f"{path} is cut off: {size} bytes, and a safetensors file begins with 8 for a length")
        (length,) = _LENGTH.unpack(prefix)
        if length > MOST_HEADER:
            raise CheckpointError(f"{path}: header of {length} bytes, at most {MOST_HEADER}: no safetensors file")
        begin = _LENGTH.size + length
        if begin > size:
            raise CheckpointError(f"{path} is cut off: it has {size} bytes, its header ends at {begin}")
        header = _parse(file.read(length), path)
    metadata = header.pop(METADATA, {})
    if not isinstance(metadata, dict) or any(not isinstance(text, str) for text in metadata.values()):
        raise CheckpointError(f"{path}: {METADATA} is no object of texts")
    tensors = {name: _entry(name, description, begin, path) for name, description in header.items()}
    end = begin
    for name, entry in sorted(tensors.items(), key=lambda item: (item[1].offset, item[1].nbytes)):
        if entry.offset != end:
            what = "overlaps the tensor before it" if entry.offset < end else "leaves a hole before it"
            raise CheckpointError(f"{path}: {printable(name)} begins at byte {entry.offset}, expected {end}: it {what}")
        end = entry.offset + entry.nbytes
    if end != size:
        what = "is cut off" if end > size else "has bytes that belong to no tensor"
        raise CheckpointError(f"{path} {what}: it has {size} bytes, its tensors end at {end}")
    return Checkpoint(path, "safetensors", (path,), size, tensors, metadata=metadata)


def _parse(data: bytes, path: Path) -> dict[str, Any]:
    try:
        header = json.loads(data.decode("utf-8"), object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path}: its header is no JSON that safetensors knows ({printable(str(error))})"
        ) from error
    if not isinstance(header, dict) or not data.startswith(b"{"):
        raise CheckpointError(f"{path}: its header is a {type(header).__name__}, expected an object")
    return header


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"{name} stands there twice")
        found[name] = value
    return found


def _entry(name: str, description: Any, begin: int, path: Path) -> TensorEntry:
    where = f"{path}: {printable(name)}"
    if not isinstance(description, dict) or description.keys() != {"dtype", "shape", "data_offsets"}:
        raise CheckpointError(f"{where} is not described by dtype, shape and data_offsets")
    code, shape, offsets = description["dtype"], description["shape"], description["data_offsets"]
    if not _are_sizes(shape) or not _are_sizes(offsets) or len(offsets) != 2:
        raise CheckpointError(f"{where}: shape and data_offsets must be whole numbers from 0, two of the latter")
    dtype = SAFETENSORS.get(code) if isinstance(code, str) else None
    if dtype is None:
        shown = printable(code) if isinstance(code, str) else type(code).__name__
        raise CheckpointError(f"{where} has the dtype {shown}, known: {', '.join(SAFETENSORS)}")
    nbytes = prod(shape) * dtype.itemsize
    if offsets[1] - offsets[0] != nbytes:
        raise CheckpointError(
            f"{where} has {offsets[1] - offsets[0]} bytes, but {nbytes} in its shape {shape} of {dtype}"
        )
    stride = tuple(prod(shape[index + 1 :]) for index in range(len(shape)))
    place = begin + offsets[0]
    return TensorEntry(dtype, tuple(shape), stride, path, place, place)


def _are_sizes(values: object) -> bool:
    return (
        isinstance(values, list)
        and len(values) <= MOST_DIMENSIONS
        and all(type(value) is int and 0 <= value <= _LARGEST for value in values)
    )
