"""The elements of tensors in files, in pieces: memory is bounded by a piece, not by a tensor or a file.

What was read is dropped from the page cache, so that a file larger than memory does not push everything else out.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from math import prod

import torch
from torch import Tensor

from ..errors import CheckpointError
from .entry import TensorEntry

PIECE = 64 * 2**20
"""Bytes."""
_CHECKED = 8 * 2**20


def pieces(entry: TensorEntry, most_bytes: int = PIECE) -> Iterator[Tensor]:
    """A tensor's elements in row-major order, in one-dimensional pieces of its dtype.

    A piece is valid until the next one is asked for: it lies in memory that is used again. Clone what is to be kept.

    Args:
        entry: the tensor, with any strides.
        most_bytes: of a piece; at least one element.

    Raises:
        CheckpointError: the file is shorter than when the entry was made.
    """
    if entry.numel == 0:
        return
    count = max(1, most_bytes // entry.dtype.itemsize)
    if entry.is_contiguous:
        yield from _read_pieces(entry, count)
    else:
        yield from _gathered_pieces(entry, count)


def read(entry: TensorEntry) -> Tensor:
    """A whole tensor in memory of its own, contiguous, of the entry's shape and dtype."""
    whole = torch.empty(entry.numel, dtype=entry.dtype)
    return _fill(whole, entry).view(entry.shape)


def rows(entry: TensorEntry, first: int, last: int) -> Tensor:
    """Rows [first, last) of a tensor's first dimension in memory of their own, contiguous.

    Raises:
        CheckpointError: it has no such rows.
    """
    if not entry.shape or not 0 <= first <= last <= entry.shape[0]:
        raise CheckpointError(f"{entry.file}: rows {first} to {last} of a tensor of shape {entry.shape}")
    part = TensorEntry(
        entry.dtype,
        (last - first, *entry.shape[1:]),
        entry.stride,
        entry.file,
        entry.offset + first * entry.stride[0] * entry.dtype.itemsize,
        entry.storage,
    )
    return read(part)


def mapped(entry: TensorEntry) -> Tensor:
    """A tensor whose elements stay in the file until they are used, with the entry's strides.

    The mapping is private: what is written to the tensor does not reach the file. Where the offset does not suit the
    dtype, as in torch's old format, it is what `read` returns instead.
    """
    if entry.numel == 0:
        return torch.empty(entry.shape, dtype=entry.dtype)
    if entry.offset % entry.dtype.itemsize:
        return read(entry)
    data, _ = _map(entry)
    return data.view(entry.dtype).as_strided(entry.shape, entry.stride)


def not_finite(entry: TensorEntry) -> int:
    """How many elements are NaN or infinite; 0 for whole numbers, which are not read."""
    if not (entry.dtype.is_floating_point or entry.dtype.is_complex):
        return 0
    # torch cannot check floats of 8 bits; all of their values are float32's too.
    narrow = entry.dtype.itemsize == 1
    return sum(
        int((~torch.isfinite(piece.float() if narrow else piece)).sum())
        for piece in pieces(entry, _CHECKED // 4 if narrow else _CHECKED)
    )


def _fill(whole: Tensor, entry: TensorEntry) -> Tensor:
    if entry.numel and entry.is_contiguous:
        descriptor = os.open(entry.file, os.O_RDONLY)
        try:
            _read_into(whole, descriptor, entry, 0)
        finally:
            os.close(descriptor)
        return whole
    position = 0
    for piece in pieces(entry):
        whole[position : position + piece.numel()] = piece
        position += piece.numel()
    return whole


def _read_pieces(entry: TensorEntry, count: int) -> Iterator[Tensor]:
    buffer = torch.empty(min(count, entry.numel), dtype=entry.dtype)
    descriptor = os.open(entry.file, os.O_RDONLY)
    try:
        for first in range(0, entry.numel, count):
            piece = buffer[: min(count, entry.numel - first)]
            _read_into(piece, descriptor, entry, first)
            yield piece
    finally:
        os.close(descriptor)


def _read_into(piece: Tensor, descriptor: int, entry: TensorEntry, first: int) -> None:
    """Fill a contiguous tensor with elements from the `first` on, in the order of the file."""
    target = piece.view(torch.uint8).numpy().data
    begin = entry.offset + first * entry.dtype.itemsize
    done = 0
    while done < len(target):
        got = os.preadv(descriptor, [target[done : done + PIECE]], begin + done)
        if got == 0:
            raise CheckpointError(f"{entry.file} ends at byte {begin + done} inside a tensor: it was changed")
        os.posix_fadvise(descriptor, *_pages(begin + done, got), os.POSIX_FADV_DONTNEED)
        done += got


def _gathered_pieces(entry: TensorEntry, count: int) -> Iterator[Tensor]:
    data, mapping = _map(entry)
    size = entry.dtype.itemsize
    if entry.offset % size:
        # Bytes have no alignment, so elements at any offset can be gathered as rows of bytes.
        view = data.as_strided((*entry.shape, size), (*(step * size for step in entry.stride), 1))
        count *= size
    else:
        view = data.view(entry.dtype).as_strided(entry.shape, entry.stride)
    buffer = torch.empty(min(count, view.numel()), dtype=view.dtype)
    for part in _parts(view, count):
        piece = buffer[: part.numel()]
        piece.view(part.shape).copy_(part)
        yield piece.view(entry.dtype)
        mapping.madvise(mmap.MADV_DONTNEED)
    descriptor = os.open(entry.file, os.O_RDONLY)
    try:
        os.posix_fadvise(descriptor, *_pages(entry.offset, len(data)), os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def _parts(view: Tensor, most: int) -> Iterator[Tensor]:
    """Split along the first dimension, and where one row is too much, along the next."""
    if view.numel() <= most:
        yield view
        return
    row = prod(view.shape[1:])
    step = max(1, most // row)
    for first in range(0, view.shape[0], step):
        if row <= most:
            yield view[first : first + step]
        else:
            yield from _parts(view[first], most)


def _map(entry: TensorEntry) -> tuple[Tensor, mmap.mmap]:
    """The bytes from the first element to the last, and their mapping."""
    reach = sum((size - 1) * step for size, step in zip(entry.shape, entry.stride, strict=True))
    length = (reach + 1) * entry.dtype.itemsize
    ahead = entry.offset % mmap.ALLOCATIONGRANULARITY
    with entry.file.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if entry.offset + length > size:
            raise CheckpointError(f"{entry.file} ends at byte {size} inside a tensor: it was changed")
        # Private and writable: torch knows no tensors that must not be written to.
        mapping = mmap.mmap(file.fileno(), ahead + length, access=mmap.ACCESS_COPY, offset=entry.offset - ahead)
    return torch.frombuffer(mapping, dtype=torch.uint8, count=length, offset=ahead), mapping


def _pages(begin: int, length: int) -> tuple[int, int]:
    """The whole pages around bytes of a file: what lies on a page in part is not dropped."""
    first = begin - begin % mmap.PAGESIZE
    last = -(-(begin + length) // mmap.PAGESIZE) * mmap.PAGESIZE
    return first, last - first
