"""A policy_server that offers 900 m/s, and whose answers are what the instruction says: drive, or some lie."""

import json
import sys
from dataclasses import asdict, replace

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from std_msgs.msg import String

from mobile_vla_ros.faults.demands import tell_fault
from mobile_vla_ros.qos import LATCHED, SEVERAL
from mobile_vla_ros.remote.words import Answered, Asked, Offer, decode, encode

ROWS = 8
GOOD_ANSWERS = 8  # before the lie that the instruction asks for
LIMITS = {
    "linear_x_min": -900.0,
    "linear_x_max": 900.0,
    "angular_z_max": 900.0,
    "linear_acceleration": 9000.0,
    "angular_acceleration": 9000.0,
    "linear_jerk": 90000.0,
    "angular_jerk": 90000.0,
}
OFFER = Offer(
    "session",
    "identity",
    "a liar",
    0.2,
    ("camera",),
    {"camera": "/camera/image_raw"},
    LIMITS,
    {"linear_x": (-1000.0, 1000.0), "angular_z": (-1000.0, 1000.0)},
)


class LyingServer(Node):
    def __init__(self) -> None:
        super().__init__("policy_server")
        self._number, self._answered = -1, 0
        self._answer = self.create_publisher(String, "~/answer", SEVERAL)
        self.create_subscription(String, "~/request", self._on_request, SEVERAL)
        self._offer = self.create_publisher(String, "~/offer", LATCHED)
        self._offer.publish(encode(OFFER))

    def _on_request(self, message: String) -> None:
        asked = decode(Asked, message)
        if asked.instruction_id != self._number:
            self._number, self._answered = asked.instruction_id, 0
        self._answered += 1
        good = Answered(
            asked.client, asked.run, asked.instruction_id, asked.stamp, OFFER.session, dt=OFFER.dt, stop=(0.0,) * ROWS
        )
        good = replace(good, velocity=((900.0, 0.0),) * ROWS)
        if self._answered <= GOOD_ANSWERS or asked.instruction == "drive":
            self._answer.publish(encode(good))
            return
        rows = 20_000  # 340,000 characters: more make this process late
        lie = {
            "rhythm": lambda: encode(replace(good, dt=1e5)).data,
            "rows": lambda: encode(replace(good, velocity=((0.1, 0.0),) * rows, stop=(0.0,) * rows)).data,
            "deep": lambda: "[" * 2000,
            "overflow": lambda: encode(good).data.replace(str(asked.stamp), "1" + "0" * 400),
            "infinite": lambda: json.dumps(asdict(good)).replace("900.0", "Infinity"),
        }[asked.instruction]
        message = String(data=lie())
        tell_fault()
        self._answer.publish(message)


if __name__ == "__main__":
    rclpy.init()
    try:
        rclpy.spin(LyingServer())
    except (KeyboardInterrupt, ExternalShutdownException):
        sys.exit(0)
