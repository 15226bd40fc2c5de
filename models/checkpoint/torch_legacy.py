"""torch's format before version 1.6: five pickles one after the other, then the storages."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

from ..errors import CheckpointError
from .container import Checkpoint
from .foreign import kind, printable
from .storage import Wanted
from .unpickle import MOST_PICKLE, Locate, Unpickled, nowhere, unpickle
from .window import Window

MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001
_COUNT = struct.Struct("<q")


def read_torch_legacy(path: Path) -> Checkpoint:
    """Read a file of torch.save with _use_new_zipfile_serialization=False.

    Raises:
        CheckpointError: damaged, cut off, big-endian, or a pickle of something else.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        begin = _check_preamble(file, size, path)
        # The storages follow the pickle that uses them: the first reading finds which there are and where it ends.
        storages: dict[str, Wanted] = {}
        first = _unpickle(file, begin, size, path, _collector(storages, path))
        places = _places(file, first.end, size, path, storages)
        found = _unpickle(file, begin, size, path, lambda wanted: (path, places[wanted.key]))
    return Checkpoint(path, "torch legacy", (path,), size, found.document, found.calls)


def _unpickle(file: BinaryIO, begin: int, size: int, path: Path, locate: Locate) -> Unpickled:
    return unpickle(Window(file, begin, min(size, begin + MOST_PICKLE)), path, locate)


def _check_preamble(file: BinaryIO, size: int, path: Path) -> int:
    """Read the magic number, the protocol and the machine; returns the byte where the document begins."""
    magic = _unpickle(file, 0, size, path, nowhere)
    if magic.document != MAGIC:
        calls = f", and would call {', '.join(magic.calls)}" if magic.calls else ""
        raise CheckpointError(
            f"{path} is a pickle that torch.save did not write: it holds a {kind(magic.document)}{calls}; expected a "
            "file of torch.save"
        )
    protocol = _unpickle(file, magic.end, size, path, nowhere)
    if protocol.document != PROTOCOL:
        raise CheckpointError(f"{path}: version {_number(protocol.document)} of torch's format, expected {PROTOCOL}")
    system = _unpickle(file, protocol.end, size, path, nowhere)
    if not isinstance(system.document, dict) or "little_endian" not in system.document:
        raise CheckpointError(f"{path} does not say the byte order of its tensors: damaged")
    if system.document["little_endian"] is not True:
        raise CheckpointError(f"{path} was written by a big-endian machine; only little-endian tensors can be read")
    return system.end


def _collector(storages: dict[str, Wanted], path: Path) -> Locate:
    def locate(wanted: Wanted) -> tuple[Path, int]:
        storages.setdefault(wanted.key, wanted)
        if wanted.nbytes > storages[wanted.key].nbytes:
            raise CheckpointError(
                f"{path}: its pickle gives storage {printable(wanted.key)} {wanted.nbytes} bytes, after "
                f"{storages[wanted.key].nbytes} before"
            )
        return path, 0

    return locate


def _places(file: BinaryIO, begin: int, size: int, path: Path, storages: dict[str, Wanted]) -> dict[str, int]:
    """The byte where each storage begins: after its number of elements, in the order of the list of keys."""
    listed = _unpickle(file, begin, size, path, nowhere)
    keys = listed.document
    if not isinstance(keys, list) or any(not isinstance(key, str) for key in keys) or len(set(keys)) != len(keys):
        raise CheckpointError(f"{path}: after its pickle stands no list of storages: damaged")
    if set(keys) != storages.keys():
        odd = ", ".join(printable(key) for key in sorted(set(keys) ^ storages.keys())[:4])
        raise CheckpointError(f"{path}: the storages that it lists and those that its pickle uses differ ({odd})")
    places: dict[str, int] = {}
    position = listed.end
    for key in keys:
        file.seek(position)
        field = file.read(_COUNT.size)
        if len(field) < _COUNT.size:
            raise CheckpointError(f"{path} is cut off: it has {size} bytes, storage {printable(key)} begins there")
        (count,) = _COUNT.unpack(field)
        wanted = storages[key]
        if count != wanted.numel:
            raise CheckpointError(
                f"{path}: storage {printable(key)} has {count} elements, its pickle says {wanted.numel}: damaged"
            )
        places[key] = position + _COUNT.size
        position = places[key] + wanted.nbytes
        if position > size:
            raise CheckpointError(
                f"{path} is cut off: it has {size} bytes, storage {printable(key)} ends at {position}"
            )
    if position != size:
        raise CheckpointError(f"{path}: {size - position} bytes follow its last storage, expected none")
    return places


def _number(value: object) -> str:
    return str(value) if type(value) is int and abs(value) < 2**63 else kind(value)
