"""A rosbag2 recording with the topics that the robot has, written without a ROS installation.

Storage sqlite3 and metadata version 8 play on every distribution from Humble on.
"""

from __future__ import annotations

import math
from pathlib import Path
from types import TracebackType
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from rosbags.interfaces import Connection
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore
from rosbags.typesys.stores import ros2_humble as msg

from .base import Pose2D, Velocity
from .world import CameraIntrinsics

EPOCH = 1_700_000_000  # s: where simulated time zero lies on the bag's clock
JPEG_QUALITY = 95
CAMERA_FRAME, BASE_FRAME, ODOM_FRAME = "camera_optical_frame", "base_link", "odom"
TOPICS: Final = {
    "/camera/image_raw/compressed": "sensor_msgs/msg/CompressedImage",
    "/camera/camera_info": "sensor_msgs/msg/CameraInfo",
    "/cmd_vel": "geometry_msgs/msg/Twist",
    "/odom": "nav_msgs/msg/Odometry",
    "/instruction": "std_msgs/msg/String",
}
# In recordings of a policy that is corrected: what the expert would have commanded.
EXPERT_TOPIC: Final = "/expert/cmd_vel"


class BagWriter:
    """Writes one bag; a context manager. Times are simulated seconds from the bag's start.

    The bag is not readable before the context is left without an error.

    Args:
        path: of the bag.
        corrected: it also holds what the expert would have commanded.

    Raises:
        rosbags.rosbag2.WriterError: the directory exists already.
    """

    def __init__(self, path: Path, *, corrected: bool = False) -> None:
        self._writer = Writer(path, version=8, storage_plugin=StoragePlugin.SQLITE3)
        self._types = get_typestore(Stores.ROS2_HUMBLE)
        self._topics = {**TOPICS, EXPERT_TOPIC: TOPICS["/cmd_vel"]} if corrected else TOPICS
        self._connections: dict[str, Connection] = {}

    def __enter__(self) -> BagWriter:
        self._writer.open()
        for topic, msgtype in self._topics.items():
            self._connections[topic] = self._writer.add_connection(topic, msgtype, typestore=self._types)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.__exit__(kind, error, trace)

    def instruction(self, time: float, text: str) -> None:
        """The sentence given to the robot."""
        self._write("/instruction", time, msg.std_msgs__msg__String(data=text))

    def command(self, time: float, velocity: Velocity) -> None:
        """The speed commanded."""
        self._write("/cmd_vel", time, _twist(velocity))

    def correction(self, time: float, velocity: Velocity) -> None:
        """The speed that the expert would have commanded."""
        self._write(EXPERT_TOPIC, time, _twist(velocity))

    def odometry(self, time: float, pose: Pose2D, velocity: Velocity) -> None:
        """Pose in the odometry frame and speed in the robot's frame."""
        orientation = msg.geometry_msgs__msg__Quaternion(
            x=0.0, y=0.0, z=math.sin(pose.yaw / 2), w=math.cos(pose.yaw / 2)
        )
        position = msg.geometry_msgs__msg__Point(x=pose.x, y=pose.y, z=0.0)
        message = msg.nav_msgs__msg__Odometry(
            header=_header(time, ODOM_FRAME),
            child_frame_id=BASE_FRAME,
            pose=msg.geometry_msgs__msg__PoseWithCovariance(
                pose=msg.geometry_msgs__msg__Pose(position=position, orientation=orientation),
                covariance=np.zeros(36),
            ),
            twist=msg.geometry_msgs__msg__TwistWithCovariance(twist=_twist(velocity), covariance=np.zeros(36)),
        )
        self._write("/odom", time, message)

    def picture(self, time: float, rgb: NDArray[np.uint8], camera: CameraIntrinsics) -> None:
        """A camera picture, uint8 RGB (h, w, 3), and the camera that took it."""
        done, data = cv2.imencode(".jpg", rgb[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        if not done:
            raise ValueError(f"picture {rgb.shape} {rgb.dtype} cannot be encoded as jpeg")
        header = _header(time, CAMERA_FRAME)
        message = msg.sensor_msgs__msg__CompressedImage(header=header, format="jpeg", data=data.reshape(-1))
        self._write("/camera/image_raw/compressed", time, message)
        matrix = np.array([[camera.fx, 0.0, camera.cx], [0.0, camera.fy, camera.cy], [0.0, 0.0, 1.0]])
        info = msg.sensor_msgs__msg__CameraInfo(
            header=header,
            height=camera.height,
            width=camera.width,
            distortion_model="plumb_bob",
            d=np.zeros(5),
            k=matrix.reshape(-1),
            r=np.eye(3).reshape(-1),
            p=np.hstack([matrix, np.zeros((3, 1))]).reshape(-1),
            binning_x=0,
            binning_y=0,
            roi=msg.sensor_msgs__msg__RegionOfInterest(x_offset=0, y_offset=0, height=0, width=0, do_rectify=False),
        )
        self._write("/camera/camera_info", time, info)

    def _write(self, topic: str, time: float, message: object) -> None:
        data = self._types.serialize_cdr(message, self._topics[topic])
        self._writer.write(self._connections[topic], _nanoseconds(time), data)


def _nanoseconds(time: float) -> int:
    return EPOCH * 10**9 + round(time * 1e9)


def _header(time: float, frame: str) -> msg.std_msgs__msg__Header:
    seconds, nanoseconds = divmod(_nanoseconds(time), 10**9)
    return msg.std_msgs__msg__Header(
        stamp=msg.builtin_interfaces__msg__Time(sec=seconds, nanosec=nanoseconds), frame_id=frame
    )


def _twist(velocity: Velocity) -> msg.geometry_msgs__msg__Twist:
    vector = msg.geometry_msgs__msg__Vector3
    return msg.geometry_msgs__msg__Twist(
        linear=vector(x=velocity.linear_x, y=0.0, z=0.0), angular=vector(x=0.0, y=0.0, z=velocity.angular_z)
    )
