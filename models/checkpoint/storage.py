"""torch's storages and the tensors in them, as a pickle describes them: checked before anything trusts them."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, NamedTuple

import torch

from .dtypes import READABLE, STORAGE_TYPES
from .entry import TensorEntry
from .foreign import Foreign, kind, printable

# A tensor may repeat its elements (a stride of 0), and so be larger than its storage. Up to these bytes it is believed.
MOST_REPEATED = 64 * 2**20
MOST_DIMENSIONS = 64
"""That torch can compute with."""
_LARGEST = 2**63 - 1
_MODULES = ("torch", "torch.storage", "torch.cuda")


class Wanted(NamedTuple):
    """What a pickle says of a storage: its key in the file, and how large it is."""

    key: str
    dtype: torch.dtype
    numel: int

    @property
    def nbytes(self) -> int:
        """Bytes of its elements."""
        return self.numel * self.dtype.itemsize


@dataclass(eq=False, repr=False, slots=True, kw_only=True)
class StorageReference(Foreign):
    """A storage in a file.

    Attributes:
        key: its name among the storages of the file.
        dtype: of its elements; uint8 for an untyped one.
        file: that holds it.
        begin: its first byte in `file`; of the whole storage where this is a view of a part.
        first: the first byte, counted from `begin`, that a tensor may use.
        last: the byte after the last one that a tensor may use, counted from `begin`.
    """

    key: str
    dtype: torch.dtype
    file: Path
    begin: int
    first: int
    last: int


def wanted_storage(identifier: tuple[Any, ...]) -> tuple[Wanted, tuple[int, int] | None]:
    """What torch's persistent id ("storage", type, key, location, elements[, view]) asks for.

    Returns:
        The storage, and the first element and the number of elements of the view of it, if it is one.

    Raises:
        UnpicklingError: another form.
    """
    if len(identifier) not in (5, 6):
        raise UnpicklingError(f"a storage is described by {len(identifier)} values, expected 5 or 6")
    storage_type, key, _location, numel = identifier[1:5]
    view = identifier[5] if len(identifier) == 6 else None
    module, _, name = kind(storage_type).rpartition(".")
    dtype = STORAGE_TYPES.get(name) if module in _MODULES else None
    if dtype is None:
        raise UnpicklingError(f"{kind(storage_type)} is no kind of storage that is known")
    if not isinstance(key, str) or not _is_size(numel):
        raise UnpicklingError(f"a storage has the key {_shown(key)} and {_shown(numel)} elements")
    if view is None:
        return Wanted(key, dtype, numel), None
    if not (isinstance(view, tuple) and len(view) == 3 and _is_size(view[1]) and _is_size(view[2])):
        raise UnpicklingError(f"the view of storage {key} is not described by a key, an offset and a size")
    if view[1] + view[2] > numel:
        raise UnpicklingError(f"a view ends at element {view[1] + view[2]} of storage {key}, which has {numel}")
    return Wanted(key, dtype, numel), (view[1], view[2])


def tensor_entry(
    storage: StorageReference, offset: Any, shape: Any, stride: Any, dtype: torch.dtype
) -> TensorEntry | None:
    """A tensor that is a view of a storage; None for a dtype of which the bytes alone say too little.

    Args:
        storage: that it is a view of.
        offset: of its first element, in elements of `dtype`.
        shape: sizes.
        stride: elements from one index to the next, per dimension.
        dtype: of its elements.

    Raises:
        UnpicklingError: sizes that are none, or a tensor that reaches beyond its storage.
    """
    if dtype not in READABLE:
        return None
    if not (_is_size(offset) and _are_sizes(shape) and _are_sizes(stride) and len(shape) == len(stride)):
        raise UnpicklingError(
            f"a tensor of storage {storage.key} has the offset {_shown(offset)}, shape {_shown(shape)} and strides "
            f"{_shown(stride)}, expected whole numbers from 0"
        )
    numel = prod(shape)
    if numel == 0:
        return TensorEntry(dtype, tuple(shape), tuple(stride), storage.file, storage.begin, storage.begin)
    if numel * dtype.itemsize > max(storage.last - storage.first, MOST_REPEATED):
        raise UnpicklingError(
            f"a tensor of shape {_shown(shape)} repeats the {storage.last - storage.first} bytes of storage "
            f"{storage.key} up to {numel * dtype.itemsize}"
        )
    first = storage.first + offset * dtype.itemsize
    reach = sum((size - 1) * step for size, step in zip(shape, stride, strict=True))
    last = first + (reach + 1) * dtype.itemsize
    if last > storage.last:
        raise UnpicklingError(
            f"a tensor of shape {_shown(shape)} and strides {_shown(stride)} ends at byte {last} of storage "
            f"{storage.key}, which ends at {storage.last}"
        )
    return TensorEntry(dtype, tuple(shape), tuple(stride), storage.file, storage.begin + first, storage.begin)


def _is_size(value: object) -> bool:
    return type(value) is int and 0 <= value <= _LARGEST


def _are_sizes(values: object) -> bool:
    return (
        isinstance(values, tuple | list) and len(values) <= MOST_DIMENSIONS and all(_is_size(value) for value in values)
    )


def _shown(value: object) -> str:
    if isinstance(value, tuple | list):
        return f"({', '.join(_shown(item) for item in value[:8])}{', ...' if len(value) > 8 else ''})"
    if type(value) is int and abs(value) <= 2 * _LARGEST:
        return str(value)
    return repr(printable(value)) if isinstance(value, str) else kind(value)
