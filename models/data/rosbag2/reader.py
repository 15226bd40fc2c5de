"""Open recordings: one reader a process and bag, and what of a message is read without taking it apart."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import apsw
import yaml
from backports import zstd
from rosbags.interfaces import Connection
from rosbags.rosbag2 import Reader, ReaderError
from rosbags.serde import SerdeError
from rosbags.typesys import Stores, get_typestore

from ...errors import DataError
from ..opened import Opened

TYPES = get_typestore(Stores.ROS2_HUMBLE)  # once: it compiles its readers
IMAGE, COMPRESSED_IMAGE = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
# What rosbags lets through when a file is cut off or overwritten somewhere.
_DAMAGE = (
    ReaderError,
    SerdeError,
    OSError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    RuntimeError,
    AssertionError,
    struct.error,
    apsw.Error,
    zstd.ZstdError,
    yaml.YAMLError,
)


class Bag:
    """An open recording.

    Attributes:
        types: message types of each topic; a topic has several where publishers disagree.
        custom_data: of its metadata.
    """

    def __init__(self, path: Path) -> None:
        self.custom_data: dict[str, str] = {}
        self._readers = [Reader(path)]
        if path.is_dir():
            # rosbags parses the metadata in Python, which takes longer than all else; it must only for compression.
            content = yaml.load((path / "metadata.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader)
            about = content["rosbag2_bagfile_information"]
            self.custom_data = about.get("custom_data") or {}
            if not about.get("compression_mode"):
                self._readers = [Reader(path / Path(name).name) for name in about["relative_file_paths"]]
        self._stack = ExitStack()
        try:
            for reader in self._readers:
                self._stack.enter_context(reader)
        except BaseException:
            self.close()
            raise
        self.types: dict[str, set[str]] = {}
        for reader in self._readers:
            for connection in reader.connections:
                self.types.setdefault(connection.topic, set()).add(connection.msgtype)

    def close(self) -> None:
        """Close its files."""
        self._stack.close()

    def messages(
        self, topics: Collection[str], begin: int | None = None, end: int | None = None
    ) -> Iterator[tuple[Connection, int, bytes]]:
        """Connection, receive time (ns) and content of messages with begin <= receive time < end, in that order."""
        for reader in self._readers:
            wanted = [connection for connection in reader.connections if connection.topic in topics]
            if wanted:  # no connections would mean all
                yield from reader.messages(wanted, begin, end)


# A recording that is compressed as a whole is unpacked into a temporary folder while it is open.
_OPENED, _UNPACKED = Opened(Bag, most=32), Opened(Bag, most=4)


@contextmanager
def use_bag(path: Path) -> Iterator[Bag]:
    """The open bag.

    Raises:
        DataError: not a rosbag2 recording, or damaged; what goes wrong inside the context is said of the bag, too.
    """
    opened = _UNPACKED if path.is_dir() and any(path.glob("*.zstd")) else _OPENED
    try:
        with opened.use(path) as bag:
            yield bag
    except DataError:
        raise
    except _DAMAGE as error:
        reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise DataError(f"{path}: not a readable rosbag2 recording ({reason})") from error


def message(connection: Connection, raw: bytes) -> Any:
    """A message taken apart."""
    return TYPES.deserialize_cdr(raw, connection.msgtype)


def header_stamp(raw: bytes) -> int:
    """The stamp (ns) of a serialised message that begins with a std_msgs/Header; what follows is not looked at."""
    # CDR: the second byte says the order of bytes, the stamp follows after four.
    second, nanosecond = struct.unpack_from("<iI" if raw[1] & 1 else ">iI", raw, 4)
    return int(second) * 10**9 + int(nanosecond)
