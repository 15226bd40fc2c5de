"""~/overlay over DDS: it shows what policy_node does, and holds no command back."""

import time

import numpy as np
import pytest

pytest.importorskip("rclpy")

from bench import Bench, assert_rate
from numpy.typing import NDArray
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

from mobile_vla_ros.images import to_rgb
from mobile_vla_ros.overlay.draw import STATES

pytestmark = pytest.mark.e2e

NODE = "obedient_policy_node.py"
CONTROL_HZ = 20.0
LOSSY = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)


def in_state(picture: NDArray[np.uint8], state: str) -> bool:
    """Whether its strip has the state's colour."""
    return bool((picture[:20] == STATES[state]).all(axis=2).any())


def test_the_picture_shows_the_state_also_when_the_camera_is_silent(bench: Bench) -> None:
    bench.start(NODE)
    pictures: list[Image] = []
    with bench.start("camera.py", "rgb8") as camera:
        bench.until_ready()
        bench.node.create_subscription(Image, "policy_node/overlay", pictures.append, LOSSY)
        bench.until(lambda: bool(pictures) and in_state(to_rgb(pictures[-1]), "waiting"))
        bench.instruct("drive")
        bench.until(lambda: in_state(to_rgb(pictures[-1]), "driving"))
        begin = len(bench.commands)
        time.sleep(3.0)
        arrived = [command[0] for command in bench.commands[begin:]]
        camera.kill()
    bench.until(lambda: in_state(to_rgb(pictures[-1]), "stopped"))
    assert pictures[-1].encoding == "rgb8"
    assert (pictures[-1].width, pictures[-1].header.stamp.sec > 0) == (320, True)
    assert_rate(arrived, CONTROL_HZ)
