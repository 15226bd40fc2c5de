"""torch's present format: a zip archive with a pickle and one uncompressed record per storage."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from zipfile import ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from ..errors import CheckpointError
from .container import Checkpoint
from .foreign import printable
from .storage import Wanted
from .unpickle import MOST_PICKLE, unpickle
from .window import Window

SIGNATURE = b"PK\x03\x04"
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_ENCRYPTED, _UTF8 = 0x1, 0x800
_DOCUMENT = "data.pkl"


@dataclass(frozen=True)
class _Record:
    """Bytes [begin, end) of the file."""

    begin: int
    end: int


def read_torch_zip(path: Path) -> Checkpoint:
    """Read a file of torch.save.

    Raises:
        CheckpointError: damaged, cut off, compressed, big-endian, a TorchScript archive, or no file of torch.save.
    """
    size = path.stat().st_size
    try:
        with path.open("rb") as file, ZipFile(file) as archive:
            records = _records(archive, file, path)
    except CheckpointError:
        raise
    except (BadZipFile, struct.error, ValueError, ArithmeticError, EOFError, RuntimeError) as error:
        raise CheckpointError(
            f"{path} begins as a zip archive and is none as a whole ({error}): cut off while it was written or copied"
        ) from error
    folder = _folder(records, path)
    if f"{folder}constants.pkl" in records:
        raise CheckpointError(
            f"{path} is a TorchScript archive, a program: save the tensors of it, "
            "torch.save(torch.jit.load(path).state_dict(), new_path)"
        )
    _check_byte_order(records, folder, path)

    def locate(wanted: Wanted) -> tuple[Path, int]:
        name = f"{folder}data/{wanted.key}"
        if name not in records:
            raise CheckpointError(f"{path} has no record {printable(name)} for the storage that its pickle names")
        record = records[name]
        if wanted.nbytes > record.end - record.begin:
            raise CheckpointError(
                f"{path}: record {printable(name)} has {record.end - record.begin} bytes, its pickle says "
                f"{wanted.nbytes}"
            )
        return path, record.begin

    pickled = records[folder + _DOCUMENT]
    if pickled.end - pickled.begin > MOST_PICKLE:
        raise CheckpointError(f"{path}: {_DOCUMENT} has {pickled.end - pickled.begin} bytes, at most {MOST_PICKLE}")
    with path.open("rb") as file:
        found = unpickle(Window(file, pickled.begin, pickled.end), path, locate)
    return Checkpoint(path, "torch zip", (path,), size, found.document, found.calls)


def _records(archive: ZipFile, file: BinaryIO, path: Path) -> dict[str, _Record]:
    records: dict[str, _Record] = {}
    for info in archive.infolist():
        name = printable(info.filename)
        if info.compress_type != ZIP_STORED:
            raise CheckpointError(f"{path}: record {name} is compressed, and torch.save compresses none")
        if info.flag_bits & _ENCRYPTED:
            raise CheckpointError(f"{path}: record {name} is encrypted")
        if info.filename in records:
            raise CheckpointError(f"{path} has two records {name}")
        records[info.filename] = _record(archive, info, file, path)
    end = 0
    for name, record in sorted(records.items(), key=lambda item: (item[1].begin, item[1].end)):
        if record.begin < end:
            raise CheckpointError(f"{path}: record {printable(name)} overlaps the one before it")
        end = record.end
    return records


def _record(archive: ZipFile, info: ZipInfo, file: BinaryIO, path: Path) -> _Record:
    """Where a record's bytes lie: behind a header of its own, whose place the directory at the end gives."""
    name = printable(info.filename)
    limit = archive.start_dir
    encoded = info.orig_filename.encode("utf-8" if info.flag_bits & _UTF8 else "cp437")
    length = _LOCAL_HEADER.size + len(encoded)
    if not 0 <= info.header_offset <= limit - length:
        raise CheckpointError(f"{path}: record {name} lies outside the file, at byte {info.header_offset}")
    # No more than the header: a buffered file would read pages of the tensor behind it.
    header = os.pread(file.fileno(), length, info.header_offset)
    signature, name_size, extra_size = _LOCAL_HEADER.unpack_from(header)
    if signature != SIGNATURE or header[_LOCAL_HEADER.size :] != encoded or name_size != len(encoded):
        raise CheckpointError(f"{path}: no header of record {name} at byte {info.header_offset}")
    begin = info.header_offset + length + extra_size
    if info.compress_size != info.file_size or begin + info.file_size > limit:
        raise CheckpointError(
            f"{path}: record {name} ends at byte {begin + info.file_size}, the records at {limit}: cut off or damaged"
        )
    return _Record(begin, begin + info.file_size)


def _folder(records: dict[str, _Record], path: Path) -> str:
    """The folder inside the archive that holds everything, with a slash; its name is the saver's choice."""
    found = [name for name in records if name.removesuffix(_DOCUMENT) in ("", name.partition("/")[0] + "/")]
    if len(found) != 1:
        shown = ", ".join(printable(name) for name in list(records)[:4]) or "nothing"
        raise CheckpointError(
            f"{path} is a zip archive with {len(found)} files {_DOCUMENT}, expected one: not of torch.save (it holds "
            f"{shown})"
        )
    return found[0].removesuffix(_DOCUMENT)


def _check_byte_order(records: dict[str, _Record], folder: str, path: Path) -> None:
    record = records.get(f"{folder}byteorder")
    if record is None:
        # Files from before torch 2.1 say nothing; torch too takes them for little-endian.
        return
    with path.open("rb") as file:
        file.seek(record.begin)
        order = file.read(min(record.end - record.begin, 16))
    if order == b"big":
        raise CheckpointError(f"{path} was written by a big-endian machine; only little-endian tensors can be read")
    if order != b"little":
        raise CheckpointError(f"{path}: byteorder is {printable(order.decode('latin-1'))!r}, expected 'little'")
