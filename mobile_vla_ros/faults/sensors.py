"""Camera at 10 Hz, odometry at 20 Hz and a clock at 100 Hz, which go wrong when a line on standard input demands it.

The clock is that of the system, until it is to jump; frames are stamped by it.
"""

from __future__ import annotations

import array
import contextlib
import struct
import time
from collections import deque
from collections.abc import Callable

import cv2
import numpy as np
import rclpy
from nav_msgs.msg import Odometry
from numpy.typing import NDArray
from rclpy.time import Time
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image

from .demands import GOOD, obey, tell_fault

TICK = 0.01  # s
FRAME, SLOW_FRAME, ODOMETRY = 10, 100, 5  # ticks between two
JUMP = 5.0  # s
HEIGHT, WIDTH = 120, 160
BUFFERS = 4  # pictures, of a driver that hangs

# 55 bytes of a PNG of 8 x 8 pixels, whose second chunk announces 4 GB.
HUGE_CHUNK = (
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x08\0\0\0\x08\x08\x02\0\0\0"
    + bytes.fromhex("4b6d29dc")
    + b"\xff\xff\xf0\0IDAT"
    + bytes(14)
)

# What the frames' stamps are made of the right one and the last one that was sent; s.
STAMPS: dict[str, Callable[[float, float], float]] = {
    "past": lambda now, _: now - JUMP,
    "future": lambda now, _: now + JUMP,
    "still": lambda _, last: last,
    "epoch": lambda now, _: now % 1000.0,
}
# There are no frames: after a jump of the clock a good one would let the robot go on, by itself.
SILENCES = ("silent", "clock-back", "clock-forward")


class Sensors:
    """The publishers, and what is wrong with them.

    Attributes:
        fault: its name; empty: nothing.
    """

    def __init__(self) -> None:
        self.fault = ""
        self._node = rclpy.create_node("sensors", enable_rosout=False)
        self._clock = self._node.create_publisher(Clock, "/clock", 1)
        self._odometry = self._node.create_publisher(Odometry, "odom", 1)
        self._image = self._node.create_publisher(Image, "camera/image_raw", 1)
        self._compressed = self._node.create_publisher(CompressedImage, "camera/image_raw/compressed", 1)
        self._random = np.random.default_rng(0)
        self._last_pictures: deque[np.ndarray] = deque(maxlen=BUFFERS)
        self._picture = self._draw()
        self._offset = 0.0  # s, of the clock to the system's
        self._stands: float | None = None  # s, where the clock stands; None: it runs
        self._stamp = 0.0  # s, of the last frame
        self._frames = 0
        self._last = ""  # the fault of the tick before

    def tick(self, number: int) -> None:
        """Publish what is due."""
        fault, begins = self.fault, self.fault != self._last
        self._last = fault
        if begins:
            self._turn_clock(fault)
        if begins and fault in (*SILENCES, "no-odometry"):
            tell_fault()
        now = self._now() if self._stands is None else self._stands
        self._clock.publish(Clock(clock=_stamp(now)))
        if number % ODOMETRY == 0 and fault != "no-odometry":
            self._odometry.publish(Odometry())
        if number % (SLOW_FRAME if fault == "slow" else FRAME) == 0 and fault not in SILENCES:
            self._publish_frame(fault, now)

    def _turn_clock(self, fault: str) -> None:
        self._stands = self._now() if fault == "clock-stands" else None
        self._offset += {"clock-back": -JUMP, "clock-forward": JUMP}.get(fault, 0.0)

    def _now(self) -> float:
        return time.time() + self._offset

    def _publish_frame(self, fault: str, now: float) -> None:
        self._frames += 1
        if fault == "turns":
            fault = "encoding" if self._frames % 3 else ""  # two bad ones: one may be lost on the way
            if fault:
                tell_fault()
        elif fault:
            tell_fault()
        if fault == "buffers":
            self._last_pictures.rotate()
            self._picture = self._last_pictures[0]
        elif fault != "frozen":
            self._picture = self._draw()
            self._last_pictures.append(self._picture)
        self._stamp = STAMPS[fault](now, self._stamp) if fault in STAMPS else now
        image, compressed = _image(self._picture, fault), _compressed(self._picture, fault)
        image.header.stamp = compressed.header.stamp = _stamp(self._stamp)
        self._image.publish(image)
        self._compressed.publish(compressed)

    def _draw(self) -> np.ndarray:
        return self._random.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def _image(picture: np.ndarray, fault: str) -> Image:
    if fault == "empty":
        return Image(encoding="rgb8")
    if fault == "depth":
        depth = array.array("B", picture[..., 0].astype(np.uint16).tobytes())
        return Image(height=HEIGHT, width=WIDTH, step=2 * WIDTH, encoding="16UC1", data=depth)
    if fault == "huge":
        side = 2**31
        return Image(height=side, width=side, step=side, encoding="rgb8", data=array.array("B", picture.tobytes()))
    data = picture.tobytes()
    if fault == "truncated":
        data = data[: len(data) // 2]
    encoding = "32FC1" if fault == "encoding" else "rgb8"
    return Image(height=HEIGHT, width=WIDTH, step=3 * WIDTH, encoding=encoding, data=array.array("B", data))


def _compressed(picture: NDArray[np.uint8], fault: str) -> CompressedImage:
    data, said = cv2.imencode(".jpg", picture)[1].tobytes(), "jpeg"
    if fault in ("depth-png", "depth-format"):
        depth = picture[..., 0].astype(np.uint16) if fault == "depth-png" else picture[..., 0]
        data = cv2.imencode(".png", depth)[1].tobytes()
        said = "png" if fault == "depth-png" else "16UC1; png compressed "
    if fault == "huge-chunk":
        data = HUGE_CHUNK
    if fault == "huge-jpeg":
        place = data.index(b"\xff\xc0") + 5  # of the height, which the width follows
        data = data[:place] + struct.pack(">HH", 20000, 20000) + data[place + 4 :]
    if fault == "truncated":
        data = data[: len(data) // 2]
    if fault == "corrupt":
        data = data[:4] + bytes(len(data) - 4)
    return CompressedImage(format=said, data=array.array("B", data))


def _stamp(seconds: float) -> object:
    return Time(nanoseconds=round(seconds * 1e9)).to_msg()


def main() -> None:
    """Publish until the process is ended."""
    rclpy.init()
    sensors = Sensors()

    def demand(fault: str) -> None:
        sensors.fault = "" if fault == GOOD else fault

    obey(demand)
    begin, number = time.monotonic(), 0
    while True:
        sensors.tick(number)
        number += 1
        left = begin + number * TICK - time.monotonic()
        if left > 0.0:
            time.sleep(left)
        else:
            begin -= left  # what was missed is not made up for


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
