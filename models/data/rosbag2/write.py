"""Episodes as rosbag2 recordings, one each, with the topics that the robot has.

Pictures, TwistStamped commands and odometry at the times at which they were received, their stamps in the headers; the
sentence on /instruction at the episode's begin; sentence, source, begin and end in `custom_data` of the metadata.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from rosbags.interfaces import Connection
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys.stores import ros2_humble as msg

from ...errors import DataError
from ..blocks import frames
from ..configuration import InstructionTopic, Rosbag2Source, Rosbag2Target
from ..episode import Episode, Pictures, Signal
from ..instants import nanoseconds
from ..writer import Advance, Signals, file_name
from .reader import COMPRESSED_IMAGE, IMAGE, TYPES
from .streams import ODOMETRY, TWISTS

COMMAND_TOPIC, ODOMETRY_TOPIC, INSTRUCTION_TOPIC = "/cmd_vel", "/odom", "/instruction"
JPEG_QUALITY = 95
_PLUGINS = {"sqlite3": StoragePlugin.SQLITE3, "mcap": StoragePlugin.MCAP}
# Receive time (ns), place among those of the same time, topic, type, message.
_Entry = tuple[int, int, str, str, object]


class Rosbag2Writer:
    """Writes into a new folder."""

    def __init__(self, folder: Path, target: Rosbag2Target) -> None:
        self._folder = folder
        self._target = target
        folder.mkdir()

    def add(self, episode: Episode, advance: Advance) -> None:
        """Write one bag; `advance` is called for each picture."""
        path = self._folder / file_name(episode.source)
        # Version 8 plays on every distribution from Humble on.
        with Writer(path, version=8, storage_plugin=_PLUGINS[self._target.storage]) as writer:
            for key, value in (("instruction", episode.instruction), ("source", episode.source)):
                writer.set_custom_data(key, value)
            writer.set_custom_data("begin", repr(episode.begin))
            writer.set_custom_data("end", repr(episode.end))
            known: dict[str, Connection] = {}
            for time, _, topic, kind, message in heapq.merge(*self._streams(episode, advance), key=lambda e: e[:2]):
                if topic not in known:
                    known[topic] = writer.add_connection(topic, kind, typestore=TYPES)
                writer.write(known[topic], time, TYPES.serialize_cdr(message, kind))

    def _streams(self, episode: Episode, advance: Advance) -> list[Iterator[_Entry]]:
        begin = int(nanoseconds(np.array([episode.begin]))[0])
        said = msg.std_msgs__msg__String(data=episode.instruction)
        streams: list[Iterator[_Entry]] = [iter([(begin, 0, INSTRUCTION_TOPIC, "std_msgs/msg/String", said)])]
        streams.append(_commands(episode, 1))
        if episode.odometry is not None:
            streams.append(_odometry(episode.source, episode.odometry, 2))
        for place, (name, pictures) in enumerate(episode.cameras.items(), start=3):
            streams.append(self._pictures(name, pictures, place, advance))
        return streams

    def _pictures(self, name: str, pictures: Pictures, place: int, advance: Advance) -> Iterator[_Entry]:
        times, stamps, order = _times(pictures.stamps, pictures.received)
        topic, kind = self._topic(name), IMAGE if self._target.pictures == "raw" else COMPRESSED_IMAGE
        for time, stamp, frame in zip(times, stamps, frames(pictures, order), strict=True):
            advance(1)
            yield (
                time,
                place,
                topic,
                kind,
                _image(frame, _header(stamp, f"{name}_optical_frame"), self._target.pictures),
            )

    def _topic(self, camera: str) -> str:
        base = f"/{camera}/image_raw"
        return base if self._target.pictures == "raw" else f"{base}/compressed"

    def close(self) -> None:
        """Nothing is left to write."""

    def source(self, path: Path, cameras: tuple[str, ...], signals: Signals) -> Rosbag2Source:
        """The configuration that reads it all back from `path`."""
        return Rosbag2Source.model_validate(
            {
                "type": "rosbag2",
                "path": path,
                "cameras": {name: self._topic(name) for name in cameras},
                "command": COMMAND_TOPIC,
                "actions": tuple(column.name for column in signals.actions),
                "odometry": None if signals.odometry is None else ODOMETRY_TOPIC,
                "instruction": InstructionTopic(topic=INSTRUCTION_TOPIC, stop_sentences="keep"),
            }
        )


def _commands(episode: Episode, place: int) -> Iterator[_Entry]:
    signal = episode.actions
    unknown = [name for name in signal.names if name not in TWISTS]
    if unknown:
        raise DataError(f"{episode.source}: a Twist cannot command {unknown[0]}, only {', '.join(TWISTS)}")
    times, stamps, order = _times(signal.stamps, signal.received)
    for time, stamp, values in zip(times, stamps, signal.values[order], strict=True):
        twist = _twist(dict(zip(signal.names, values, strict=True)))
        command = msg.geometry_msgs__msg__TwistStamped(header=_header(stamp, "base_link"), twist=twist)
        yield time, place, COMMAND_TOPIC, "geometry_msgs/msg/TwistStamped", command


def _odometry(source: str, signal: Signal, place: int) -> Iterator[_Entry]:
    if signal.names != ODOMETRY:
        raise DataError(f"{source}: odometry is {', '.join(signal.names)}, expected {', '.join(ODOMETRY)}")
    # Only the velocity is known: the pose stays at the origin and says so by its covariance.
    unknown = np.diag(np.full(6, 1e6)).reshape(-1)
    origin = msg.geometry_msgs__msg__Pose(
        position=msg.geometry_msgs__msg__Point(x=0.0, y=0.0, z=0.0),
        orientation=msg.geometry_msgs__msg__Quaternion(x=0.0, y=0.0, z=0.0, w=1.0),
    )
    times, stamps, order = _times(signal.stamps, signal.received)
    for time, stamp, values in zip(times, stamps, signal.values[order], strict=True):
        twist = _twist(dict(zip(signal.names, values, strict=True)))
        measured = msg.nav_msgs__msg__Odometry(
            header=_header(stamp, "odom"),
            child_frame_id="base_link",
            pose=msg.geometry_msgs__msg__PoseWithCovariance(pose=origin, covariance=unknown),
            twist=msg.geometry_msgs__msg__TwistWithCovariance(twist=twist, covariance=np.zeros(36)),
        )
        yield time, place, ODOMETRY_TOPIC, "nav_msgs/msg/Odometry", measured


def _times(
    stamps: NDArray[np.float64], received: NDArray[np.float64] | None
) -> tuple[list[int], list[int], NDArray[np.int64]]:
    """Receive times and stamps (ns) in order of reception, and the row of each; received when stamped, if unknown."""
    times = nanoseconds(stamps if received is None else received)
    order = np.argsort(times, kind="stable")
    return times[order].tolist(), nanoseconds(stamps)[order].tolist(), order


def _image(
    frame: NDArray[np.uint8], header: msg.std_msgs__msg__Header, pictures: Literal["raw", "png", "jpeg"]
) -> object:
    if pictures == "raw":
        height, width = frame.shape[:2]
        return msg.sensor_msgs__msg__Image(
            header=header,
            height=height,
            width=width,
            encoding="rgb8",
            is_bigendian=0,
            step=3 * width,
            data=frame.reshape(-1),
        )
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if pictures == "jpeg" else [cv2.IMWRITE_PNG_COMPRESSION, 1]
    _, data = cv2.imencode(f".{pictures}", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), options)
    return msg.sensor_msgs__msg__CompressedImage(header=header, format=pictures, data=data.reshape(-1))


def _header(stamp: int, frame: str) -> msg.std_msgs__msg__Header:
    second, nanosecond = divmod(stamp, 10**9)
    time = msg.builtin_interfaces__msg__Time(sec=second, nanosec=nanosecond)
    return msg.std_msgs__msg__Header(stamp=time, frame_id=frame)


def _twist(velocity: dict[str, np.float32]) -> msg.geometry_msgs__msg__Twist:
    def vector(part: str) -> msg.geometry_msgs__msg__Vector3:
        return msg.geometry_msgs__msg__Vector3(**{axis: float(velocity.get(f"{part}_{axis}", 0.0)) for axis in "xyz"})

    return msg.geometry_msgs__msg__Twist(linear=vector("linear"), angular=vector("angular"))
