"""A camera at 10 Hz. Argument: encoding of its images, "jpeg" for compressed ones, "empty" for images without data."""

import array
import sys
import time

import cv2
import numpy as np
import rclpy
from sensor_msgs.msg import CompressedImage, Image

PERIOD = 0.1  # s


def main() -> None:
    kind = sys.argv[1]
    rclpy.init()
    node = rclpy.create_node("camera")
    picture = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    if kind == "jpeg":
        message = CompressedImage(format="jpeg")
        message.data = array.array("B", cv2.imencode(".jpg", picture)[1].tobytes())
        publisher = node.create_publisher(CompressedImage, "camera/image_raw/compressed", 1)
    else:
        message = Image(height=120, width=160, step=480, encoding=kind)
        message.data = array.array("B", picture.tobytes())
        if kind == "empty":
            message = Image(encoding="rgb8")
        publisher = node.create_publisher(Image, "camera/image_raw", 1)
    due = time.monotonic()
    while True:
        message.header.stamp = node.get_clock().now().to_msg()
        publisher.publish(message)
        due += PERIOD
        time.sleep(max(due - time.monotonic(), 0.0))


if __name__ == "__main__":
    main()
