"""Image messages to and from numpy: uint8 (height, width, 3) RGB."""

from __future__ import annotations

import array

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image

from mobile_vla_models.image_header import ImageError
from mobile_vla_models.images import AS_SAID, ENCODINGS, MAX_SIZE, ImageRules, check, digest, to_rgb

from .camera_topics import COMPRESSED

__all__ = ["AS_SAID", "ENCODINGS", "MAX_SIZE", "ImageError", "ImageRules", "check", "digest", "to_image", "to_rgb"]


def camera_messages(transport: str) -> tuple[type[Image | CompressedImage], str]:
    """What a camera's frames are, raw or compressed, and what their topic has at its end."""
    return (CompressedImage, COMPRESSED) if transport == "compressed" else (Image, "")


def to_image(rgb: NDArray[np.uint8], stamp: Time, frame_id: str) -> Image:
    """An rgb8 message of a uint8 (height, width, 3) RGB picture.

    Raises:
        ImageError: another shape or dtype.
    """
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.size == 0:
        raise ImageError(f"picture is {rgb.dtype} {rgb.shape}: expected uint8 (height, width, 3)")
    message = Image()
    message.header.stamp = stamp
    message.header.frame_id = frame_id
    message.height, message.width = rgb.shape[:2]
    message.encoding = "rgb8"
    message.step = 3 * message.width
    message.data = array.array("B", rgb.tobytes())  # rclpy takes an array as it is, anything else value by value
    return message
