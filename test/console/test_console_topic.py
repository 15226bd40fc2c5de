"""A camera's topic, over DDS in a domain of its own."""

import threading
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy")

import rclpy
from builtin_interfaces.msg import Time
from console_user import ConsoleUser, rows
from rclpy.context import Context
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import String

from mobile_vla_models import VLAPolicy
from mobile_vla_models.console.errors import ConsoleError
from mobile_vla_ros.bringup.domain import free_domain
from mobile_vla_ros.cli.camera_topic import receive_frame
from mobile_vla_ros.images import to_image

PATIENCE = 30.0  # s for a frame, of a machine that is busy
pytestmark = pytest.mark.e2e

RGB = np.random.default_rng(7).integers(0, 256, (60, 80, 3), dtype=np.uint8)
PERIOD = 0.05  # s


class Camera:
    """Publishes messages in turn at 20 Hz."""

    def __init__(self, context: Context) -> None:
        self.node = rclpy.create_node("camera", context=context, enable_rosout=False)
        self._end = threading.Event()
        self._threads: list[threading.Thread] = []

    def publish(self, topic: str, *messages: Any) -> None:
        publisher = self.node.create_publisher(type(messages[0]), topic, 1)

        def work() -> None:
            number = 0
            while not self._end.wait(PERIOD):
                publisher.publish(messages[number % len(messages)])
                number += 1

        self._threads.append(threading.Thread(target=work, daemon=True))
        self._threads[-1].start()

    def close(self) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()
        self.node.destroy_node()


@pytest.fixture
def camera(monkeypatch: pytest.MonkeyPatch) -> Iterator[Camera]:
    domain = free_domain()
    monkeypatch.setenv("ROS_DOMAIN_ID", str(domain))
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    context = Context()
    rclpy.init(context=context, domain_id=domain, signal_handler_options=SignalHandlerOptions.NO)
    camera = Camera(context)
    try:
        yield camera
    finally:
        camera.close()
        rclpy.shutdown(context=context)


def compressed() -> CompressedImage:
    data = cv2.imencode(".png", cv2.cvtColor(RGB, cv2.COLOR_RGB2BGR))[1]
    return CompressedImage(format="png", data=data.ravel().tolist())


def test_infer_takes_the_next_frames_of_a_topic(user: ConsoleUser, shipped: VLAPolicy, camera: Camera) -> None:
    camera.publish("/camera/image_raw", to_image(RGB, Time(), "camera"))
    text = "go to the red box"
    shown = [user.says(f"infer /camera/image_raw '{text}'"), user.says("infer")]
    assert [lines.split(",")[0] for lines in shown] == ["step 1", "step 2"]
    shipped.reset()
    for lines in shown:
        np.testing.assert_allclose(rows(lines)[:, 2:4], shipped.step(RGB, text).continuous, atol=6e-4)


def test_compressed_frames_are_decoded(camera: Camera) -> None:
    camera.publish("/camera/image_raw/compressed", compressed())
    np.testing.assert_array_equal(receive_frame("/camera/image_raw/compressed", PATIENCE), RGB)


def test_another_kind_of_topic_is_named(camera: Camera) -> None:
    camera.publish("/words", String(data="left"))
    with pytest.raises(ConsoleError, match="topic /words has type std_msgs/msg/String: expected sensor_msgs/msg/Image"):
        receive_frame("/words", PATIENCE)


def test_a_frame_that_cannot_be_used_is_an_error_of_one_line(user: ConsoleUser, camera: Camera) -> None:
    camera.publish("/depth", Image(height=1, width=1, encoding="16UC1", step=2, data=[0, 0]))
    shown = user.says("infer /depth go")
    assert shown.startswith("error: image encoding '16UC1' is not supported")
    assert shown.count("\n") == 1


def test_waiting_ends(user: ConsoleUser, camera: Camera) -> None:
    with pytest.raises(ConsoleError, match=r"no topic /nowhere within 1 s on ROS domain \d+"):
        receive_frame("/nowhere", 1.0)
    silent = camera.node.create_publisher(Image, "/silent", 1)
    with pytest.raises(ConsoleError, match=r"topic /silent exists, but no frame came within 10 s on ROS domain \d+"):
        receive_frame("/silent", 10.0)
    camera.node.destroy_publisher(silent)
