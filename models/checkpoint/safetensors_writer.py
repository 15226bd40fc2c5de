"""Writing a safetensors file piece by piece: the library's own writer wants all tensors in memory at once."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from math import prod
from pathlib import Path
from types import TracebackType

import torch
from torch import Tensor
from typing_extensions import Self

# The names of the format's dtypes.
NAMES = {
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float64: "F64",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.int16: "I16",
    torch.int32: "I32",
    torch.int64: "I64",
    torch.bool: "BOOL",
}
# Bytes: tensors lie at multiples of it where the format, which knows no holes, allows. Vector instructions like it, and
# some libraries add in another order where it is not so.
ALIGNMENT = 64


class SafetensorsWriter:
    """A file of tensors whose elements come in any order and in pieces of any size.

    Used as a context manager; leaving it without an error says that the file is whole, and checks it.

    Args:
        path: of the file; an existing one is replaced.
        tensors: dtype and shape of each by name.
        metadata: of the file's header.

    Raises:
        ValueError: a piece that does not fit, or elements that were never written; the tensor is named.
    """

    def __init__(
        self,
        path: Path,
        tensors: Mapping[str, tuple[torch.dtype, tuple[int, ...]]],
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        self._dtypes = {name: dtype for name, (dtype, _) in tensors.items()}
        self._sizes = {name: prod(shape) for name, (_, shape) in tensors.items()}
        self._written = dict.fromkeys(tensors, 0)
        header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
        self._offsets: dict[str, int] = {}
        offset = 0
        for name in sorted(tensors, key=self._place):
            dtype, shape = tensors[name]
            end = offset + self._sizes[name] * dtype.itemsize
            header[name] = {"dtype": NAMES[dtype], "shape": list(shape), "data_offsets": [offset, end]}
            self._offsets[name] = offset
            offset = end
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-(8 + len(text)) % ALIGNMENT)
        self._begin = 8 + len(text)
        self._file = path.open("wb")
        self._file.write(len(text).to_bytes(8, "little") + text)
        self._file.flush()
        self._file.truncate(self._begin + offset)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._check()
                os.fsync(self._file.fileno())
        finally:
            self._file.close()

    def write(self, name: str, piece: Tensor, first: int = 0) -> None:
        """Write elements of a tensor.

        Args:
            name: of the tensor.
            piece: of its dtype, any shape; its elements in row-major order.
            first: number of the tensor's element that the piece begins with.
        """
        dtype, size = self._dtypes[name], self._sizes[name]
        if piece.dtype != dtype or not 0 <= first <= first + piece.numel() <= size:
            raise ValueError(
                f"{name}: a piece of {piece.numel()} {piece.dtype} from element {first} on, "
                f"expected {dtype} within {size}"
            )
        if piece.numel():
            data = piece.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data
            position = self._begin + self._offsets[name] + first * dtype.itemsize
            done = 0
            while done < len(data):
                done += os.pwrite(self._file.fileno(), data[done:], position + done)
        self._written[name] += piece.numel()

    def _place(self, name: str) -> tuple[bool, int, str]:
        """Whole multiples of the alignment first, then by the width of elements: none lies across its own size."""
        size = self._dtypes[name].itemsize
        return self._sizes[name] * size % ALIGNMENT != 0, -size, name

    def _check(self) -> None:
        for name, count in self._written.items():
            if count != self._sizes[name]:
                raise ValueError(f"{name}: {count} elements were written of {self._sizes[name]}")
