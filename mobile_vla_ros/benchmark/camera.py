"""The camera of the benchmark: pictures of 640 x 480 at 30 Hz, each stamped when it is published.

Argument: raw for `sensor_msgs/Image`, compressed for `sensor_msgs/CompressedImage` with JPEG.
"""

from __future__ import annotations

import array
import contextlib
import itertools
import sys
import time

import rclpy
from builtin_interfaces.msg import Time
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CompressedImage, Image

from mobile_vla_models.benchmark.policy.pictures import decode, jpegs

from ..control.frames import REMEMBERED
from ..images import to_image

RATE = 30.0  # Hz
FRAME = "camera_optical_frame"


def main(transport: str) -> None:
    """Publish until the process is ended."""
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node("camera", enable_rosout=False)
    pictures = jpegs(REMEMBERED + 1)  # fewer, again and again, would be a camera that hangs
    if transport == "compressed":
        publisher = node.create_publisher(CompressedImage, "camera/image_raw/compressed", 1)
        messages = itertools.cycle([_compressed(jpeg) for jpeg in pictures])
    else:
        publisher = node.create_publisher(Image, "camera/image_raw", 1)
        messages = itertools.cycle([to_image(decode(jpeg), Time(), FRAME) for jpeg in pictures])
    due = time.monotonic()
    for message in messages:
        message.header.stamp = node.get_clock().now().to_msg()
        publisher.publish(message)
        due += 1.0 / RATE
        left = due - time.monotonic()
        if left < 0.0:
            due -= left  # a camera does not make up for what it missed
        time.sleep(max(left, 0.0))


def _compressed(jpeg: bytes) -> CompressedImage:
    message = CompressedImage(format="jpeg")
    message.header.frame_id = FRAME
    message.data = array.array("B", jpeg)
    return message


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main(sys.argv[1])
