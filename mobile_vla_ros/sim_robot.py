"""`sim_robot`: a simulated robot with the topics of a real one."""

from __future__ import annotations

import array
import math
import sys
import time

import numpy as np
from geometry_msgs.msg import Quaternion, Transform, TransformStamped, Twist, TwistStamped, Vector3
from nav_msgs.msg import Odometry
from rclpy.clock import Clock, ClockType  # type: ignore[attr-defined]  # the only place it has on Humble
from rclpy.time import Time
from rosgraph_msgs.msg import Clock as ClockMessage
from sensor_msgs.msg import CameraInfo, Image, LaserScan
from std_msgs.msg import String

from .images import to_image
from .parameters import declare, refuse_unknown
from .qos import LATCHED, SEVERAL
from .robot_node import RobotNode, StartError, run
from .sim.gl import RendererError
from .sim.scene import CameraMount, sample_scene
from .sim.world import CAMERA_FORWARD, LIDAR_HEIGHT, LIDAR_RANGE, LIDAR_RAYS, PHYSICS_PERIOD, World

try:
    from tf2_msgs.msg import TFMessage
except ImportError:  # it comes with a ROS distribution, not as a wheel
    TFMessage = None

CAMERA_FRAME, ODOM_FRAME, BASE_FRAME, LASER_FRAME = "camera_optical_frame", "odom", "base_link", "laser"
WAKE_PERIOD = 0.01  # s of real time between two looks at how far the simulation should be
MOST_AT_ONCE = 0.05  # simulated s that one look may advance, so that commands are taken in meanwhile
LATE = 0.2  # s of real time behind which the simulation gives up catching up


class SimRobot(RobotNode):
    """A robot in a room: camera, laser scanner, odometry and a base that takes velocity commands.

    Time is simulated and published on `/clock`. Odometry is the truth: its origin is the room's centre and it
    never drifts. Where tf2_msgs is installed, the frames of robot, camera and scanner are on `tf` and `tf_static`.
    `~/touched` says what the robot runs into: an object's name, "wall", or an empty text.

    Raises:
        StartError: nothing can be rendered here (the message names the missing package), unknown parameters, or a
            node of the same name.
    """

    def __init__(self) -> None:
        super().__init__("sim_robot")
        created = time.monotonic()
        seed = declare(self, "seed", 0, "of the room and what is in it", between=(0, 2**31))
        self._factor = declare(
            self,
            "real_time_factor",
            1.0,
            "simulated s per s of real time; 0: as fast as possible",
            between=(0.0, 100.0),
        )
        self._camera_period = 1.0 / declare(self, "camera_hz", 10.0, "Hz of camera/image_raw", between=(1.0, 100.0))
        self._odom_period = 1.0 / declare(self, "odom_hz", 20.0, "Hz of odom", between=(1.0, 100.0))
        self._scan_period = 1.0 / declare(
            self, "scan_hz", 10.0, "Hz of scan, computed while somebody subscribes", between=(1.0, 100.0)
        )
        stamped = declare(self, "enable_stamped_cmd_vel", False, "cmd_vel is TwistStamped instead of Twist")
        self._clock_publisher = self.create_publisher(ClockMessage, "/clock", 1)
        self._image_publisher = self.create_publisher(Image, "camera/image_raw", 1)
        self._info_publisher = self.create_publisher(CameraInfo, "camera/camera_info", 1)
        self._odom_publisher = self.create_publisher(Odometry, "odom", 10)
        self._scan_publisher = self.create_publisher(LaserScan, "scan", 1)
        self._touched_publisher = self.create_publisher(String, "~/touched", LATCHED)
        if stamped:
            self.create_subscription(TwistStamped, "cmd_vel", lambda message: self._on_command(message.twist), 1)
        else:
            self.create_subscription(Twist, "cmd_vel", self._on_command, 1)
        refuse_unknown(self)
        self.claim_name()
        try:
            self._world = World(sample_scene(np.random.default_rng(seed)))
        except RendererError as error:
            raise StartError(str(error)) from error
        self.refuse_second_instance(created)
        self._camera_due, self._odom_due, self._scan_due = self._camera_period, self._odom_period, self._scan_period
        self._tf_publisher = None if TFMessage is None else self.create_publisher(TFMessage, "tf", SEVERAL)
        if TFMessage is not None:
            self._static_publisher = self.create_publisher(TFMessage, "tf_static", LATCHED)
            self._static_publisher.publish(TFMessage(transforms=mounts(self._world.scene.camera, self._stamp())))
        self._touched: str | None = None
        self._touched_publisher.publish(String(data=""))
        self._begin = time.monotonic()  # when simulated time would have been 0 at this factor
        self.create_timer(
            WAKE_PERIOD if self._factor > 0.0 else 1e-4,
            self._on_wake,
            clock=Clock(clock_type=ClockType.STEADY_TIME),
        )
        self.get_logger().info(f"room {seed}: {', '.join(item.name for item in self._world.scene.objects)}")

    def close(self) -> bool:
        """Free the renderer; the robot vanishes with its process."""
        self._world.close()
        return True

    def _on_command(self, twist: Twist) -> None:
        try:
            self._world.command(twist.linear.x, twist.angular.z)
        except ValueError as error:
            self.get_logger().error(str(error), throttle_duration_sec=5.0)

    def _on_wake(self) -> None:
        """Advance the world to where it should be by now, and publish what is due on the way."""
        world = self._world
        end = world.time + MOST_AT_ONCE
        if self._factor > 0.0:
            wanted = (time.monotonic() - self._begin) * self._factor
            if wanted - world.time > LATE * self._factor:
                self.get_logger().warning(
                    f"the machine is too slow for real_time_factor {self._factor:g}: "
                    f"{wanted - world.time:.2f} s are dropped",
                    throttle_duration_sec=5.0,
                )
                self._begin = time.monotonic() - world.time / self._factor
            end = min(end, wanted)
        while world.time + PHYSICS_PERIOD <= end + 1e-9:
            world.step(PHYSICS_PERIOD)
            if world.touched != self._touched:
                self._touched = world.touched
                self._touched_publisher.publish(String(data=self._touched or ""))
            self._publish_due()
        self._publish_clock()

    def _publish_due(self) -> None:
        now = self._world.time + 1e-9  # periods add up with rounding
        if now >= self._odom_due:
            self._odom_due += self._odom_period
            self._publish_odometry()
        if now >= self._scan_due:
            self._scan_due += self._scan_period
            if self._scan_publisher.get_subscription_count() > 0:
                self._publish_clock()
                self._publish_scan()
        if now >= self._camera_due:
            self._camera_due += self._camera_period
            self._publish_clock()  # a frame from the future would be refused
            self._publish_frame()

    def _stamp(self) -> object:
        return Time(nanoseconds=round(self._world.time * 1e9)).to_msg()

    def _publish_clock(self) -> None:
        self._clock_publisher.publish(ClockMessage(clock=self._stamp()))

    def _publish_odometry(self) -> None:
        pose, velocity = self._world.pose, self._world.velocity
        message = Odometry()
        message.header.stamp = self._stamp()
        message.header.frame_id, message.child_frame_id = ODOM_FRAME, BASE_FRAME
        message.pose.pose.position.x, message.pose.pose.position.y = pose.x, pose.y
        message.pose.pose.orientation = _about_z(pose.yaw)
        message.twist.twist.linear.x, message.twist.twist.angular.z = velocity
        self._odom_publisher.publish(message)
        if self._tf_publisher is not None:
            place = _transform(ODOM_FRAME, BASE_FRAME, (pose.x, pose.y, 0.0), _about_z(pose.yaw), message.header.stamp)
            self._tf_publisher.publish(TFMessage(transforms=[place]))

    def _publish_scan(self) -> None:
        message = LaserScan()
        message.header.stamp, message.header.frame_id = self._stamp(), LASER_FRAME
        message.angle_increment = math.tau / LIDAR_RAYS
        message.angle_min, message.angle_max = -math.pi, math.pi - message.angle_increment
        message.scan_time = self._scan_period
        message.range_min, message.range_max = LIDAR_RANGE
        message.ranges = array.array("f", self._world.scan().tobytes())
        self._scan_publisher.publish(message)

    def _publish_frame(self) -> None:
        image = to_image(self._world.render(), self._stamp(), CAMERA_FRAME)
        lens = self._world.camera_info()
        info = CameraInfo(header=image.header, width=lens.width, height=lens.height)
        info.distortion_model = "plumb_bob"
        info.d = [0.0] * 5
        info.k = [lens.fx, 0.0, lens.cx, 0.0, lens.fy, lens.cy, 0.0, 0.0, 1.0]
        info.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
        info.p = [lens.fx, 0.0, lens.cx, 0.0, 0.0, lens.fy, lens.cy, 0.0, 0.0, 0.0, 1.0, 0.0]
        self._image_publisher.publish(image)
        self._info_publisher.publish(info)


def mounts(camera: CameraMount, stamp: object) -> list[TransformStamped]:
    """Where camera and laser scanner sit on the robot.

    Args:
        camera: How the camera is mounted.
        stamp: Time of the transforms.
    """
    # Of the optical frame z points ahead, x to the right, y down; the camera looks down by its pitch, about y.
    sine, cosine = math.sin(camera.pitch / 2.0) / 2.0, math.cos(camera.pitch / 2.0) / 2.0
    optical = Quaternion(x=-cosine - sine, y=cosine + sine, z=sine - cosine, w=cosine - sine)
    return [
        _transform(BASE_FRAME, CAMERA_FRAME, (CAMERA_FORWARD, 0.0, camera.height), optical, stamp),
        _transform(BASE_FRAME, LASER_FRAME, (0.0, 0.0, LIDAR_HEIGHT), _about_z(0.0), stamp),
    ]


def _about_z(yaw: float) -> Quaternion:
    return Quaternion(z=math.sin(yaw / 2.0), w=math.cos(yaw / 2.0))


def _transform(
    parent: str, child: str, place: tuple[float, float, float], rotation: Quaternion, stamp: object
) -> TransformStamped:
    message = TransformStamped(child_frame_id=child)
    message.header.stamp, message.header.frame_id = stamp, parent
    x, y, z = place
    message.transform = Transform(translation=Vector3(x=x, y=y, z=z), rotation=rotation)
    return message


def main() -> int:
    """Run the node; the exit code."""
    return run(SimRobot)


if __name__ == "__main__":
    sys.exit(main())
