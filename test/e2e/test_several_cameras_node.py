"""policy_node over DDS with a policy that looks through two cameras: any one of them that fails stops the robot."""

import time
from collections.abc import Iterator

import pytest

pytest.importorskip("rclpy")

from bench import Bench, Process

pytestmark = pytest.mark.e2e

NODE = "two_camera_policy_node.py"
DEADLINE = 0.5  # s
CAMERAS = ("front", "hand")


def start_camera(bench: Bench, name: str, kind: str = "rgb8") -> Process:
    return bench.start("camera.py", kind, "--ros-args", "-r", f"camera/image_raw:=camera/{name}/image_raw")


@pytest.fixture(scope="module")
def node(shared_bench: Bench) -> Process:
    # At 10 Hz, and with nothing that makes them beat together, the nearest two frames are up to 0.05 s apart.
    return shared_bench.start(NODE, parameters={"camera_tolerance": 0.1})


@pytest.fixture
def cameras(shared_bench: Bench, node: Process) -> Iterator[dict[str, Process]]:
    started = {name: start_camera(shared_bench, name) for name in CAMERAS}
    shared_bench.until_ready()
    shared_bench.instruct("drive")
    shared_bench.until_driving()
    yield started
    for camera in started.values():
        camera.kill()
    node.check()


@pytest.mark.parametrize("name", CAMERAS)
def test_any_camera_that_is_killed_stops_the_robot_in_time_and_for_good(
    shared_bench: Bench, cameras: dict[str, Process], name: str
) -> None:
    stop_time = shared_bench.zero_after(cameras[name].kill())
    print(f"zero {stop_time:.3f} s after the camera {name} was killed")
    assert stop_time <= DEADLINE
    assert shared_bench.statuses[-1][1].startswith(f"stopped: camera {name}: no usable frame for")
    with start_camera(shared_bench, name):
        shared_bench.until_driving()


@pytest.mark.parametrize(("kind", "reason"), [("32FC1", "image encoding '32FC1'"), ("frozen", "the picture is frozen")])
def test_a_bad_and_a_frozen_camera_stop_the_robot_though_the_other_is_well(
    shared_bench: Bench, cameras: dict[str, Process], kind: str, reason: str
) -> None:
    cameras["hand"].kill()
    with start_camera(shared_bench, "hand", kind):
        shared_bench.until_status(f"stopped: camera hand: {reason}")
        assert shared_bench.zero_after(time.monotonic(), watch=1.0) <= DEADLINE
    with start_camera(shared_bench, "hand"):
        shared_bench.until_driving()


def test_cameras_whose_frames_never_belong_together_do_not_move_the_robot(bench: Bench) -> None:
    bench.start(NODE, parameters={"camera_tolerance": 0.0})
    for name in CAMERAS:
        start_camera(bench, name)
    bench.until(lambda: bool(bench.commands))
    bench.instruct("drive")
    assert bench.trigger("arm") == ""
    bench.until_status("stopped: cameras: no frames of front, hand that belong together for")
    assert all(command[1:] == (0.0, 0.0) for command in bench.commands)
