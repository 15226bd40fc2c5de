"""Episodes in memory and on disk with pictures of noise, and whether two are the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import h5py
import numpy as np
from numpy.typing import NDArray
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys.stores import ros2_humble as msg

from mobile_vla_models.data.episode import Episode, Pictures, Signal
from mobile_vla_models.data.rosbag2.reader import TYPES

SECOND = 10**9
START = 1_700_000_000 * SECOND  # ns
HEIGHT, WIDTH = 12, 18


def noise(count: int, seed: int = 0, size: tuple[int, int] = (HEIGHT, WIDTH)) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, *size, 3), dtype=np.uint8)


@dataclass(frozen=True, eq=False)
class MemoryPictures:
    frames: NDArray[np.uint8]
    stamps: NDArray[np.float64]
    received: NDArray[np.float64] | None

    def read(self, rows: Sequence[int] | NDArray[np.int64]) -> list[NDArray[np.uint8]]:
        return [self.frames[row] for row in rows]


def all_frames(pictures: Pictures) -> NDArray[np.uint8]:
    return np.stack(pictures.read(range(len(pictures.stamps))))


def assert_same_signal(one: Signal, other: Signal) -> None:
    assert one.names == other.names
    np.testing.assert_array_equal(one.stamps, other.stamps, strict=True)
    np.testing.assert_array_equal(one.values, other.values, strict=True)
    assert (one.received is None) == (other.received is None)
    if one.received is not None:
        np.testing.assert_array_equal(one.received, other.received, strict=True)


def assert_same_episode(one: Episode, other: Episode) -> None:
    """Bit by bit."""
    for name in ("source", "instruction", "begin", "end"):
        assert getattr(one, name) == getattr(other, name), name
    assert_same_signal(one.actions, other.actions)
    assert (one.odometry is None) == (other.odometry is None)
    if one.odometry is not None and other.odometry is not None:
        assert_same_signal(one.odometry, other.odometry)
    assert list(one.cameras) == list(other.cameras)
    for name, pictures in one.cameras.items():
        np.testing.assert_array_equal(pictures.stamps, other.cameras[name].stamps, strict=True)
        np.testing.assert_array_equal(all_frames(pictures), all_frames(other.cameras[name]), strict=True)


def header(stamp: int) -> msg.std_msgs__msg__Header:
    second, nanosecond = divmod(stamp, SECOND)
    return msg.std_msgs__msg__Header(
        stamp=msg.builtin_interfaces__msg__Time(sec=second, nanosec=nanosecond), frame_id="camera"
    )


def image(stamp: int, encoding: str, height: int, width: int, step: int, data: bytes, bigendian: int = 0) -> object:
    return msg.sensor_msgs__msg__Image(
        header=header(stamp),
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=bigendian,
        step=step,
        data=np.frombuffer(data, np.uint8),
    )


def rgb_image(stamp: int, rgb: NDArray[np.uint8]) -> object:
    return image(stamp, "rgb8", rgb.shape[0], rgb.shape[1], 3 * rgb.shape[1], rgb.tobytes())


def png(stamp: int, rgb: NDArray[np.uint8]) -> object:
    _, data = cv2.imencode(".png", rgb[:, :, ::-1])
    return msg.sensor_msgs__msg__CompressedImage(header=header(stamp), format="png", data=data.reshape(-1))


def twist(linear_x: float, angular_z: float, linear_y: float = 0.0) -> msg.geometry_msgs__msg__Twist:
    vector = msg.geometry_msgs__msg__Vector3
    return msg.geometry_msgs__msg__Twist(
        linear=vector(x=linear_x, y=linear_y, z=0.0), angular=vector(x=0.0, y=0.0, z=angular_z)
    )


def twist_stamped(stamp: int, linear_x: float, angular_z: float) -> object:
    return msg.geometry_msgs__msg__TwistStamped(header=header(stamp), twist=twist(linear_x, angular_z))


def odometry(stamp: int, linear_x: float, linear_y: float, angular_z: float) -> object:
    origin = msg.geometry_msgs__msg__Pose(
        position=msg.geometry_msgs__msg__Point(x=0.0, y=0.0, z=0.0),
        orientation=msg.geometry_msgs__msg__Quaternion(x=0.0, y=0.0, z=0.0, w=1.0),
    )
    measured = twist(linear_x, angular_z, linear_y)
    return msg.nav_msgs__msg__Odometry(
        header=header(stamp),
        child_frame_id="base_link",
        pose=msg.geometry_msgs__msg__PoseWithCovariance(pose=origin, covariance=np.zeros(36)),
        twist=msg.geometry_msgs__msg__TwistWithCovariance(twist=measured, covariance=np.zeros(36)),
    )


def said(text: str) -> object:
    return msg.std_msgs__msg__String(data=text)


Message = tuple[str, int, object]  # topic, receive time in ns after START, message


def write_messages(
    path: Path,
    messages: list[Message],
    storage: str = "sqlite3",
    compression: str = "none",
    custom_data: dict[str, str] | None = None,
    big_endian: bool = False,
) -> Path:
    plugin = StoragePlugin.MCAP if storage == "mcap" else StoragePlugin.SQLITE3
    writer = Writer(path, version=8, storage_plugin=plugin)
    writer.set_compression(CompressionMode[compression.upper()], CompressionFormat.ZSTD)
    for key, value in (custom_data or {}).items():
        writer.set_custom_data(key, value)
    with writer:
        known = {}
        for topic, time, message in messages:
            kind = type(message).__name__.replace("__", "/")
            if topic not in known:
                known[topic] = writer.add_connection(topic, kind, typestore=TYPES)
            writer.write(known[topic], START + time, TYPES.serialize_cdr(message, kind, little_endian=not big_endian))
    return path


def drive(
    frames: NDArray[np.uint8],
    sentences: tuple[tuple[int, str], ...] = ((0, "go to the red box"),),
    lag: int = 7_000_003,
) -> list[Message]:
    """A drive: frames at 10 Hz that arrive `lag` ns late, commands and odometry at 20 Hz; sentences before frames."""
    messages: list[Message] = []
    for number, frame in enumerate(frames):
        time = number * SECOND // 10
        messages += [("/instruction", time - 1_000, said(text)) for at, text in sentences if at == number]
        messages.append(("/cam/image_raw/compressed", time + lag, png(START + time, frame)))
        for half in (0, SECOND // 20):
            at = time + half + 1_234_567
            speed = 0.1 * number + half * 1e-9
            messages.append(("/cmd_vel", at, twist(speed, -speed / 3.0)))
            messages.append(("/odom", at + 11, odometry(START + at + 5, speed / 2.0, 0.01, -speed)))
    return sorted(messages, key=lambda message: message[1])


def write_h5(
    path: Path,
    frames: NDArray[np.uint8],
    actions: NDArray[np.float32],
    key: str = "images",
    events: list[str] | None = None,
    sentence: str | None = None,
) -> Path:
    """An episode as the recorder of the mobile VLA episodes stored it: pictures in BGR, no times."""
    with h5py.File(path, "w") as file:
        file[key] = frames[..., ::-1]
        file["actions"] = actions
        file.attrs.update(episode_name=path.stem, total_duration=0.8 * len(frames), num_frames=len(frames))
        if events is not None:
            file.create_dataset("action_event_types", data=events, dtype=h5py.string_dtype("utf-8"))
        if sentence is not None:
            file["language_instruction"] = np.array([sentence.encode()])
    return path
