"""Episodes from rosbag2 recordings, read without a ROS installation (rosbags)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rosbags.highlevel import AnyReader, AnyReaderError
from rosbags.typesys import Stores, get_typestore

from ..configuration import ImagePreprocessing
from ..errors import DataError
from ..preprocessing import resize
from .episode import Episode

CAMERA = ("/camera/image_raw/compressed", "/camera/image_raw")
COMMAND = "/cmd_vel"
TYPESTORE = get_typestore(Stores.ROS2_HUMBLE)  # once: it compiles its readers
INSTRUCTION = "/instruction"


def read_instructions(path: Path) -> list[str]:
    """The sentences of one bag, without reading its pictures.

    Raises:
        DataError: not a bag, or no instruction topic.
    """
    try:
        with AnyReader([path], default_typestore=TYPESTORE) as reader:
            wanted = [connection for connection in reader.connections if connection.topic == INSTRUCTION]
            if not wanted:
                raise DataError(f"{path}: no {INSTRUCTION}")
            messages = reader.messages(connections=wanted)
            return [reader.deserialize(raw, connection.msgtype).data for connection, _, raw in messages]  # type: ignore[attr-defined]
    except AnyReaderError as error:
        raise DataError(f"{path}: not a readable rosbag2 recording ({error})") from error


@dataclass
class _Recording:
    """Messages of one bag, by topic, in order of time."""

    stamps: list[float]
    frames: list[NDArray[np.uint8]]
    command_stamps: list[float]
    commands: list[tuple[float, float]]
    instructions: list[tuple[float, str]]
    end: float


def find_bags(folder: Path) -> list[Path]:
    """Bag directories (those with a metadata.yaml) directly under `folder`, sorted.

    Raises:
        DataError: none there.
    """
    bags = sorted(path.parent for path in folder.glob("*/metadata.yaml"))
    if not bags:
        raise DataError(f"{folder} holds no rosbag2 recording (no */metadata.yaml); record some: mobile-vla record")
    return bags


def read_bag(path: Path, image: ImagePreprocessing, dt: float) -> Iterator[Episode]:
    """Episodes of one bag, one for each message on /instruction.

    Args:
        path: bag directory.
        image: pictures are squashed as it says.
        dt: seconds between the frames kept; those between are skipped by stamp.

    Raises:
        DataError: not a bag, a topic missing, an encoding that is not supported, commands that are not finite.
    """
    recording = _read(path, image, dt)
    stamps, commands = np.array(recording.stamps), np.array(recording.commands, dtype=np.float32)
    if not np.isfinite(commands).all():
        raise DataError(f"{path}: {COMMAND} holds values that are not finite")
    command_stamps = np.array(recording.command_stamps)
    starts = recording.instructions
    ends = [*(stamp for stamp, _ in starts[1:]), recording.end]
    for number, ((start, instruction), end) in enumerate(zip(starts, ends, strict=True)):
        seen = (stamps >= start) & (stamps < end)
        heard = (command_stamps >= start) & (command_stamps < end)
        if not instruction.strip() or seen.sum() < 2 or heard.sum() < 2:
            continue
        rows = np.flatnonzero(seen)
        yield Episode(
            source=f"{path.name}#{number}",
            instruction=instruction,
            frames=np.stack([recording.frames[row] for row in rows]),
            stamps=stamps[rows],
            command_stamps=command_stamps[heard],
            commands=commands[heard],
            end=end,
        )


def _read(path: Path, image: ImagePreprocessing, dt: float) -> _Recording:
    recording = _Recording([], [], [], [], [], 0.0)
    try:
        with AnyReader([path], default_typestore=TYPESTORE) as reader:
            camera = next((topic for topic in CAMERA if topic in reader.topics), None)
            missing = [topic for topic in (COMMAND, INSTRUCTION) if topic not in reader.topics]
            if camera is None or missing:
                raise DataError(f"{path}: no {' or '.join(CAMERA) if camera is None else ', '.join(missing)}")
            wanted = [c for c in reader.connections if c.topic in (camera, COMMAND, INSTRUCTION)]
            for connection, received, raw in reader.messages(connections=wanted):
                message: Any = reader.deserialize(raw, connection.msgtype)
                time = received * 1e-9
                recording.end = max(recording.end, time)
                if connection.topic == camera:
                    stamp = message.header.stamp.sec + message.header.stamp.nanosec * 1e-9
                    # Half a millisecond of grace: stamps on a grid of dt must not be lost to rounding.
                    if not recording.stamps or stamp - recording.stamps[-1] >= dt - 5e-4:
                        recording.stamps.append(stamp)
                        recording.frames.append(resize(_decode(path, message), image))
                elif connection.topic == COMMAND:
                    twist = message.twist if hasattr(message, "twist") else message
                    recording.command_stamps.append(time)
                    recording.commands.append((twist.linear.x, twist.angular.z))
                else:
                    recording.instructions.append((time, message.data))
    except AnyReaderError as error:
        raise DataError(f"{path}: not a readable rosbag2 recording ({error})") from error
    return recording


def _decode(path: Path, message: Any) -> NDArray[np.uint8]:
    """sensor_msgs/CompressedImage (jpeg, png) or Image (rgb8, bgr8) -> RGB uint8 (h, w, 3)."""
    if hasattr(message, "format"):
        picture = cv2.imdecode(np.asarray(message.data, dtype=np.uint8), cv2.IMREAD_COLOR)
        if picture is None:
            raise DataError(f"{path}: a picture of format {message.format!r} cannot be decoded")
        return np.ascontiguousarray(picture[:, :, ::-1], dtype=np.uint8)
    if message.encoding not in ("rgb8", "bgr8"):
        raise DataError(f"{path}: image encoding {message.encoding!r} is not among rgb8, bgr8")
    rows = np.asarray(message.data, dtype=np.uint8).reshape(message.height, message.step)
    picture = rows[:, : message.width * 3].reshape(message.height, message.width, 3)
    return np.ascontiguousarray(picture if message.encoding == "rgb8" else picture[:, :, ::-1])
