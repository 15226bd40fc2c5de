"""Recordings on disk: written beside their place, then renamed; the oldest go."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from rclpy.serialization import serialize_message
from rosbags.rosbag2 import StoragePlugin, Writer

from mobile_vla_models.data.rosbag2.reader import TYPES

from .ring import Entry, Topic

PREFIX = "trip_"
PAUSE = 0.001  # s after each picture in which the interpreter is free for who drives
PARTIAL = ".partial"  # folder of what is being written: a recorder that is killed leaves no half of a recording


def check_types(topics: Iterable[Topic]) -> None:
    """Say early that a type cannot be recorded.

    Raises:
        ValueError: the message names topic and type.
    """
    for topic in topics:
        if topic.type not in TYPES.types:
            raise ValueError(f"topic {topic.name} is of type {topic.type!r}, which is not known here")


def write(path: Path, topics: Sequence[Topic], entries: Iterable[Entry], notes: Mapping[str, str]) -> None:
    """Write a rosbag2 recording (sqlite3: it plays on every distribution from Humble on without a plugin).

    Args:
        path: of the recording, a folder that is not there yet.
        topics: all that were listened to, silent or not.
        entries: in the order of their reception.
        notes: `custom_data` of its metadata.

    Raises:
        OSError, apsw.Error, rosbags.rosbag2.WriterError: it cannot be written; nothing of it is left.
    """
    partial = path.parent / PARTIAL / path.name
    partial.parent.mkdir(parents=True, exist_ok=True)
    try:
        with Writer(partial, version=8, storage_plugin=StoragePlugin.SQLITE3) as writer:
            for key, value in notes.items():
                writer.set_custom_data(key, value)
            connections = {
                topic.name: writer.add_connection(topic.name, topic.type, typestore=TYPES) for topic in topics
            }
            for entry in entries:
                message = entry.message
                if isinstance(message, bytes):
                    writer.write(connections[entry.topic], entry.received, message)
                else:  # a picture, which takes longest
                    writer.write(connections[entry.topic], entry.received, serialize_message(message))
                    time.sleep(PAUSE)
        partial.rename(path)
    finally:
        shutil.rmtree(partial.parent, ignore_errors=True)


def keep_newest(newest: Path, most: int) -> None:
    """Remove the oldest recordings beside `newest`, by name, until there are `most`.

    `newest` stays in any case: a robot whose clock begins anew at each start names it as if it were old.

    Raises:
        OSError: one cannot be removed.
    """
    others = sorted(found.parent for found in newest.parent.glob(f"{PREFIX}*/metadata.yaml"))
    others.remove(newest)
    for old in others[: len(others) - (most - 1)]:
        shutil.rmtree(old)
