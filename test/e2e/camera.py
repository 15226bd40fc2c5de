"""A camera at 10 Hz.

Argument: encoding of its images, "jpeg" for compressed ones, "empty" for images without data, "frozen" for rgb8 images
that are all the same.
"""

from __future__ import annotations

import array
import itertools
import sys
import time

import cv2
import numpy as np
import rclpy
from sensor_msgs.msg import CompressedImage, Image

from mobile_vla_ros.control.frames import REMEMBERED

PERIOD = 0.1  # s


def main() -> None:
    kind = sys.argv[1]
    rclpy.init()
    node = rclpy.create_node("camera")
    # Fewer, again and again, would be a camera that hangs.
    pictures = np.random.default_rng(0).integers(0, 256, (REMEMBERED + 1, 120, 160, 3), dtype=np.uint8)
    if kind == "jpeg":
        publisher = node.create_publisher(CompressedImage, "camera/image_raw/compressed", 1)
        messages = [CompressedImage(format="jpeg", data=_bytes(cv2.imencode(".jpg", one)[1])) for one in pictures]
    else:
        publisher = node.create_publisher(Image, "camera/image_raw", 1)
        encoding = "rgb8" if kind == "frozen" else kind
        messages = [Image(height=120, width=160, step=480, encoding=encoding, data=_bytes(one)) for one in pictures]
        if kind == "empty":
            messages = [Image(encoding="rgb8")]
        if kind == "frozen":
            messages = messages[:1]
    due = time.monotonic()
    for message in itertools.cycle(messages):
        message.header.stamp = node.get_clock().now().to_msg()
        publisher.publish(message)
        due += PERIOD
        time.sleep(max(due - time.monotonic(), 0.0))


def _bytes(data: np.ndarray) -> array.array[int]:
    return array.array("B", data.tobytes())


if __name__ == "__main__":
    main()
