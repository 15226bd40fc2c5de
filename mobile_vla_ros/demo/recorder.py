"""The node of the demonstration: gives instructions and writes down what it hears."""

from __future__ import annotations

import math
import time

from geometry_msgs.msg import Twist
from nav_msgs.msg import Odometry
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import String

from .. import images
from ..own_node import OwnNode
from ..qos import LATCHED
from ..sim.base import Pose2D, Velocity
from ..stamps import seconds
from .recording import Drive, Frame, Motion, Recording, Said

STATUS_TOPIC, TOUCHED_TOPIC = "policy_node/status", "sim_robot/touched"
FROM_SENSOR = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)


class Recorder:
    """Records the robot's topics in simulated time.

    Attributes:
        recording: what was heard so far.
        heard: steady time (s) of the last odometry; -inf before the first.
    """

    def __init__(self) -> None:
        self.recording = Recording()
        self.heard = -math.inf
        self._own = OwnNode("demo", parameter_overrides=[Parameter("use_sim_time", value=True)])
        ros = self._own.ros
        self._instruction = ros.create_publisher(String, "instruction", 1)
        ros.create_subscription(Image, "camera/image_raw", self._on_image, FROM_SENSOR)
        ros.create_subscription(Odometry, "odom", self._on_odometry, 10)
        ros.create_subscription(Twist, "cmd_vel", self._on_command, 10)
        ros.create_subscription(String, STATUS_TOPIC, self._on_status, LATCHED)
        ros.create_subscription(String, TOUCHED_TOPIC, self._on_touched, LATCHED)
        self._own.listen()

    @property
    def now(self) -> float:
        """Simulated s."""
        return float(self._own.ros.get_clock().now().nanoseconds) * 1e-9

    @property
    def status(self) -> str:
        """What the policy node last said that it is doing; empty before it said anything."""
        return self.recording.statuses[-1].text if self.recording.statuses else ""

    @property
    def has_listener(self) -> bool:
        """A policy node is there to hear instructions."""
        return self._instruction.get_subscription_count() > 0

    def begin(self) -> None:
        """Forget what was heard while the nodes came up; where the robot is and what it does stays known."""
        self.recording.frames.clear()
        self.recording.drives.clear()
        del self.recording.motions[:-1]
        del self.recording.statuses[:-1]

    def listen(self, seconds: float) -> None:
        """Take in messages for so long."""
        self._own.wait(seconds)

    def close(self) -> None:
        """Leave the ROS graph."""
        self._own.close()

    def instruct(self, sentence: str) -> None:
        """Publish an instruction; an empty one tells the robot to stand."""
        self._instruction.publish(String(data=sentence))
        self.recording.instructions.append(Said(self.now, sentence))

    def _on_image(self, message: Image) -> None:
        self.recording.frames.append(Frame(seconds(message.header.stamp), images.to_rgb(message)))

    def _on_odometry(self, message: Odometry) -> None:
        place, turn = message.pose.pose.position, message.pose.pose.orientation
        twist = message.twist.twist
        pose = Pose2D(place.x, place.y, 2.0 * math.atan2(turn.z, turn.w))
        velocity = Velocity(twist.linear.x, twist.angular.z)
        self.recording.motions.append(Motion(seconds(message.header.stamp), pose, velocity))
        self.heard = time.monotonic()

    def _on_command(self, message: Twist) -> None:
        self.recording.drives.append(Drive(self.now, Velocity(message.linear.x, message.angular.z)))

    def _on_status(self, message: String) -> None:
        self.recording.statuses.append(Said(self.now, message.data))

    def _on_touched(self, message: String) -> None:
        if message.data:
            self.recording.touches.append(Said(self.now, message.data))
