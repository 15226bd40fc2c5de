"""What tensors hold, read piece by piece: values that are not finite, and one tensor's content under two names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from ..checkpoint import content
from ..checkpoint.entry import TensorEntry

Read = Callable[[int], object]
"""Is told of bytes that were read."""

_STEP = 64 * 2**20
_BEGINNING = 4096
# Two biases of zeros, or scales of one, are equal and are no copies.
_SMALLEST = 64


def tied(entries: Mapping[str, TensorEntry]) -> tuple[tuple[str, ...], ...]:
    """Names of the same bytes.

    Other views of one storage are not meant: the weights of an LSTM that was saved from a GPU lie in one, side by side.
    """
    groups: dict[object, list[str]] = {}
    for name, entry in entries.items():
        if entry.numel:
            place = (entry.file, entry.offset, entry.dtype, entry.shape, entry.stride)
            groups.setdefault(place, []).append(name)
    return tuple(tuple(names) for names in groups.values() if len(names) > 1)


def bytes_to_read(entries: Mapping[str, TensorEntry]) -> int:
    """Bytes that `not_finite` tells of."""
    return sum(entry.nbytes for entry in _distinct(entries).values())


def not_finite(entries: Mapping[str, TensorEntry], read: Read) -> dict[str, int]:
    """How many values are NaN or infinite, by name, of tensors that have any. Tied tensors are read once."""
    found = {}
    for name, entry in _distinct(entries).items():
        count = 0
        for part in _steps(entry):
            count += content.not_finite(part)
            read(part.nbytes)
        if count:
            found[name] = count
    return found


def copies(entries: Mapping[str, TensorEntry]) -> tuple[tuple[str, ...], ...]:
    """Names of matrices and larger tensors that hold the same bits in different places.

    Only tensors whose first bytes agree are read as a whole. Those whose first bytes are all one value, such as zeros
    before any training, are left out.
    """
    alike: dict[object, list[str]] = {}
    for name, entry in _distinct(entries).items():
        if len(entry.shape) > 1 and entry.numel >= _SMALLEST:
            beginning = _bits(next(content.pieces(entry, _BEGINNING))).clone()
            if bool((_elements(beginning, entry) != _elements(beginning, entry)[0]).any()):
                alike.setdefault((entry.dtype, entry.shape, bytes(beginning.numpy())), []).append(name)
    groups: list[list[str]] = []
    for names in alike.values():
        same: list[list[str]] = []
        for name in names:
            group = next((group for group in same if _equal(entries[group[0]], entries[name])), None)
            if group is None:
                same.append([name])
            else:
                group.append(name)
        groups += [group for group in same if len(group) > 1]
    return tuple(tuple(group) for group in groups)


def _distinct(entries: Mapping[str, TensorEntry]) -> dict[str, TensorEntry]:
    again = {name for names in tied(entries) for name in names[1:]}
    return {name: entry for name, entry in entries.items() if name not in again}


def _steps(entry: TensorEntry) -> Iterator[TensorEntry]:
    """A large tensor in parts, so that a progress bar moves."""
    if not entry.is_contiguous:
        yield entry
        return
    size = entry.dtype.itemsize
    step = _STEP // size
    for first in range(0, entry.numel, step):
        count = min(step, entry.numel - first)
        yield replace(entry, shape=(count,), stride=(1,), offset=entry.offset + first * size)


def _equal(first: TensorEntry, second: TensorEntry) -> bool:
    pairs = zip(content.pieces(first, _STEP // 8), content.pieces(second, _STEP // 8), strict=True)
    return all(torch.equal(_bits(one), _bits(other)) for one, other in pairs)


def _bits(piece: Tensor) -> Tensor:
    return piece.view(torch.uint8)


def _elements(beginning: Tensor, entry: TensorEntry) -> Tensor:
    return beginning.view(-1, entry.dtype.itemsize)
