"""Pages of tensors that lie in mapped files: which are in memory, and how to give them back. Linux only."""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

PAGE = mmap.PAGESIZE
# Bits of an entry of /proc/self/pagemap.
_PRESENT, _SWAPPED, _OF_FILE = (np.uint64(1 << bit) for bit in (63, 62, 61))


@dataclass(frozen=True)
class MappedRange:
    """A line of /proc/self/maps; addresses in bytes, `offset` is that of `begin` in the file."""

    begin: int
    end: int
    private: bool
    offset: int
    inode: int
    path: str

    @property
    def of_file(self) -> bool:
        """Whether a file is mapped; anonymous memory has no inode, and names such as [heap]."""
        return self.inode != 0 and self.path.startswith("/")


def resident_bytes(tensor: Tensor) -> int:
    """Bytes of a CPU tensor that are in memory as pages of this process.

    From /proc/self/pagemap: pages of a file that the kernel has cached, but this process has not touched (or has given
    back), do not count; mincore would count them.

    Raises:
        ValueError: not a strided tensor on the CPU.
        OSError: no /proc/self/pagemap (not Linux).
    """
    begin, end = _span(tensor)
    if begin == end:
        return 0
    first, last = begin // PAGE, -(-end // PAGE)
    present = np.flatnonzero(_entries(first * PAGE, last * PAGE) & _PRESENT) + first
    size = len(present) * PAGE
    # The first and last page may hold other things too.
    if len(present) and present[0] == first:
        size -= begin - first * PAGE
    if len(present) and present[-1] == last - 1:
        size -= last * PAGE - end
    return size


def drop_pages(tensor: Tensor, *, from_cache: bool = False) -> int:
    """Give back the resident pages of a tensor in a mapped file; the next access reads the file again.

    Only pages that lie in the tensor as a whole. The numbers stay what they are: a range that is not a file's, or holds
    pages that were written to in a private mapping, is refused. Another thread must not write to the tensor meanwhile.

    Args:
        tensor: on the CPU.
        from_cache: also ask the kernel to forget them, so that they are free at once for everybody (posix_fadvise);
            CUDA on a Jetson does not get cached pages reliably. Pages that someone else has mapped stay.

    Returns:
        bytes of the range that was given back, whole pages; 0 for a tensor that fills none.

    Raises:
        ValueError: not a strided CPU tensor; anonymous memory, which would be zeroed; changed pages, which would be
            lost.
        OSError: the kernel refuses, such as for locked pages, or there is no /proc (not Linux).
    """
    begin, end = _span(tensor)
    begin, end = -(-begin // PAGE) * PAGE, end // PAGE * PAGE
    if begin >= end:
        return 0
    mappings = list(_mappings(begin, end))
    for mapping in mappings:
        _check_clean(mapping, max(begin, mapping.begin), min(end, mapping.end))
    if sum(min(end, mapping.end) - max(begin, mapping.begin) for mapping in mappings) != end - begin:
        raise ValueError(f"tensor at {begin:#x} to {end:#x} is not mapped as a whole: expected a mapping of a file")
    _forget(begin, end)
    if from_cache:
        for mapping in mappings:
            _uncache(mapping, max(begin, mapping.begin), min(end, mapping.end))
    return end - begin


def mapped_files() -> frozenset[str]:
    """Paths of the files that this process has mapped; none where there is no /proc (not Linux)."""
    try:
        return frozenset(mapping.path for mapping in _mappings(0, sys.maxsize * 2 + 2) if mapping.of_file)
    except FileNotFoundError:
        return frozenset()


def _span(tensor: Tensor) -> tuple[int, int]:
    """Addresses of the first byte and the one after the last; strides are never negative."""
    if tensor.device.type != "cpu" or tensor.layout != torch.strided:
        raise ValueError(f"tensor is {tensor.layout} on {tensor.device}: expected a strided tensor on the CPU")
    if tensor.numel() == 0:
        return 0, 0
    last = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    begin = tensor.data_ptr()
    return begin, begin + (last + 1) * tensor.element_size()


def _mappings(begin: int, end: int) -> Iterator[MappedRange]:
    """Those that overlap a range, in order."""
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as lines:  # noqa: PTH123
        for line in lines:
            addresses, _, _ = line.partition(" ")
            low, high = (int(address, 16) for address in addresses.split("-"))
            if low >= end:
                return
            if high > begin:
                _, permissions, offset, _, inode, *name = line.rstrip("\n").split(maxsplit=5)
                private, path = permissions[3] == "p", "".join(name)
                yield MappedRange(low, high, private, int(offset, 16), int(inode), path)


def _check_clean(mapping: MappedRange, begin: int, end: int) -> None:
    if not mapping.of_file:
        raise ValueError(
            f"tensor lies in anonymous memory ({mapping.path or 'allocated'}), which giving pages back would zero: "
            "expected a mapping of a file"
        )
    if not mapping.private:
        return  # what is written goes into the file
    entries = _entries(begin, end)
    own = (entries & (_PRESENT | _SWAPPED) != 0) & (entries & _OF_FILE == 0)
    if own.any():
        raise ValueError(
            f"tensor has {np.count_nonzero(own)} pages of its own, changed since {mapping.path} was mapped: "
            "giving them back would lose the change"
        )


def _entries(begin: int, end: int) -> NDArray[np.uint64]:
    """What pagemap has on the pages from `begin` to `end`, multiples of the page's size."""
    size = np.dtype(np.uint64).itemsize
    with open("/proc/self/pagemap", "rb", buffering=0) as file:  # noqa: PTH123
        file.seek(begin // PAGE * size)
        wanted = (end - begin) // PAGE * size
        data = bytearray()
        while len(data) < wanted:
            part = file.read(wanted - len(data))
            if not part:
                raise OSError(f"/proc/self/pagemap ends before address {end:#x}")
            data += part
    return np.frombuffer(data, np.uint64)


def _forget(begin: int, end: int) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    result = library.madvise(ctypes.c_void_p(begin), ctypes.c_size_t(end - begin), ctypes.c_int(mmap.MADV_DONTNEED))
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"madvise of {end - begin} bytes: {os.strerror(number)}")


def _uncache(mapping: MappedRange, begin: int, end: int) -> None:
    try:
        descriptor = os.open(mapping.path, os.O_RDONLY)
    except OSError:
        return  # deleted or moved since: it cannot be named, and its pages go with the mapping
    try:
        if os.fstat(descriptor).st_ino == mapping.inode:
            os.posix_fadvise(descriptor, mapping.offset + begin - mapping.begin, end - begin, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)
