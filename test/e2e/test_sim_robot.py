"""sim_robot over DDS: it moves as told, stops when told nothing, and keeps its own time."""

import itertools
import signal
import time

import pytest

pytest.importorskip("rclpy")

from bench import Bench
from geometry_msgs.msg import Twist
from nav_msgs.msg import Odometry
from rclpy.qos import qos_profile_sensor_data
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, LaserScan

from mobile_vla_ros.images import to_rgb
from mobile_vla_ros.stamps import seconds

pytestmark = pytest.mark.e2e


class Listener:
    def __init__(self, bench: Bench) -> None:
        self.odometry: list[Odometry] = []
        self.images: list[Image] = []
        self.infos: list[CameraInfo] = []
        self.clocks: list[tuple[float, float]] = []  # s monotonic, s simulated
        self.scans: list[LaserScan] = []
        bench.node.create_subscription(LaserScan, "scan", self.scans.append, qos_profile_sensor_data)
        bench.node.create_subscription(Odometry, "odom", self.odometry.append, 100)
        bench.node.create_subscription(Image, "camera/image_raw", self.images.append, qos_profile_sensor_data)
        bench.node.create_subscription(CameraInfo, "camera/camera_info", self.infos.append, 10)
        bench.node.create_subscription(Clock, "/clock", self._on_clock, 100)

    @property
    def speed(self) -> tuple[float, float]:
        twist = self.odometry[-1].twist.twist
        return twist.linear.x, twist.angular.z

    def _on_clock(self, message: Clock) -> None:
        self.clocks.append((time.monotonic(), seconds(message.clock)))


def test_it_has_a_camera_moves_as_told_and_stops_when_commands_cease(bench: Bench) -> None:
    robot = Listener(bench)
    process = bench.start("-m", "mobile_vla_ros.sim_robot", parameters={"seed": 3, "real_time_factor": 0.5})
    commands = bench.node.create_publisher(Twist, "cmd_vel", 1)
    bench.until(lambda: len(robot.images) > 3 and len(robot.infos) > 0 and len(robot.odometry) > 3)
    bench.until(lambda: commands.get_subscription_count() > 0)

    picture = to_rgb(robot.images[-1])
    assert picture.shape == (120, 160, 3)
    assert picture.std() > 1.0
    assert (robot.infos[-1].width, robot.infos[-1].height) == (160, 120)
    assert robot.infos[-1].k[0] == pytest.approx(80.0)  # 90 degrees across

    turn = Twist()
    turn.angular.z = 0.5
    begin = time.monotonic()
    while robot.speed[1] < 0.49:
        assert time.monotonic() < begin + 30.0
        commands.publish(turn)
        time.sleep(0.05)
    broken = Twist()
    broken.linear.x = float("nan")
    commands.publish(broken)
    bench.until(lambda: robot.speed == (0.0, 0.0))  # its own command timeout
    bench.until(lambda: "expected finite" in process.output)

    (wall_begin, begin), (wall_end, end) = robot.clocks[0], robot.clocks[-1]
    assert 0.0 < end - begin <= 0.5 * (wall_end - wall_begin) + 0.2  # never faster than asked for
    scan = robot.scans[-1]
    assert (scan.header.frame_id, len(scan.ranges)) == ("laser", 360)
    assert scan.angle_min + 359 * scan.angle_increment == pytest.approx(scan.angle_max, abs=1e-4)
    assert scan.range_min <= min(scan.ranges) < 5.0
    for messages, period in ((robot.images, 0.1), (robot.odometry, 0.05), (robot.scans, 0.1)):
        stamps = [seconds(message.header.stamp) for message in messages]
        steps = [(b - a) / period for a, b in itertools.pairwise(stamps)]
        assert all(step == pytest.approx(round(step), abs=1e-3) and step > 0.5 for step in steps)
    process.send(signal.SIGINT)
    assert process.wait(10.0) == 0
    assert "Traceback" not in process.output


def test_simulated_time_runs_as_fast_as_possible_on_request(bench: Bench) -> None:
    robot = Listener(bench)
    bench.start("-m", "mobile_vla_ros.sim_robot", parameters={"real_time_factor": 0.0})
    bench.until(lambda: len(robot.clocks) > 50)
    steps = [b - a for (_, a), (_, b) in itertools.pairwise(robot.clocks)]
    assert max(steps) >= 0.05 - 1e-6  # it does not wait for the clock on the wall
    assert min(steps) >= 0.0
