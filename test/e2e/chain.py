"""Stand-ins for twist_mux 4.3 and nav2's velocity_smoother 1.4.2 with the shipped parameters, which behave as measured.

Argument: mux or smoother. The mux passes a command on when it arrives, unless a lock or a fresh command of a higher
priority masks it; it publishes nothing by itself. The smoother repeats the last command for velocity_timeout, brakes,
then is silent. Both end at once on SIGINT and SIGTERM, by the default handlers, without a last command.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rclpy
import yaml
from geometry_msgs.msg import Twist
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from std_msgs.msg import Bool

CONFIG = Path(__file__).parents[2] / "config" / "robot"


def parameters(name: str) -> dict[str, Any]:
    found = yaml.safe_load((CONFIG / f"{name}.yaml").read_text(encoding="utf-8"))["/**"]["ros__parameters"]
    assert isinstance(found, dict)
    return found


class Mux(Node):
    def __init__(self) -> None:
        super().__init__("twist_mux")
        given = parameters("twist_mux")
        (self._lock,) = given["locks"].values()
        self._sources = given["topics"].values()
        self._heard = {source["topic"]: float("-inf") for source in self._sources}
        self._locked, self._beat = True, float("-inf")
        self._out = self.create_publisher(Twist, "cmd_vel_out", 10)
        self.create_subscription(Bool, self._lock["topic"], self._on_lock, 10)
        for source in self._sources:
            self.create_subscription(Twist, source["topic"], self._passes_on(source), 10)

    def _on_lock(self, message: Bool) -> None:
        self._locked, self._beat = message.data, time.monotonic()

    def _passes_on(self, source: dict[str, Any]) -> Callable[[Twist], None]:
        def on_command(message: Twist) -> None:
            now = self._heard[source["topic"]] = time.monotonic()
            fresh = [one for one in self._sources if now - self._heard[one["topic"]] <= one["timeout"]]
            locked = self._locked or now - self._beat > self._lock["timeout"]
            if not locked and source["priority"] == max(one["priority"] for one in fresh):
                self._out.publish(message)

        return on_command


class Smoother(Node):
    def __init__(self) -> None:
        super().__init__("velocity_smoother")
        self._given = parameters("velocity_smoother")
        self._wanted, self._arrived, self._last = [0.0, 0.0], float("-inf"), [0.0, 0.0]  # m/s, rad/s
        self._out = self.create_publisher(Twist, "cmd_vel_smoothed", 10)
        self.create_subscription(Twist, "cmd_vel", self._on_command, 10)
        self.create_timer(1.0 / self._given["smoothing_frequency"], self._tick)

    def _on_command(self, message: Twist) -> None:
        self._wanted, self._arrived = [message.linear.x, message.angular.z], time.monotonic()

    def _tick(self) -> None:
        if time.monotonic() - self._arrived > self._given["velocity_timeout"]:
            if self._last == [0.0, 0.0]:
                return
            self._wanted = [0.0, 0.0]
        self._last = [self._towards(index) for index in (0, 1)]
        message = Twist()
        message.linear.x, message.angular.z = self._last
        self._out.publish(message)

    def _towards(self, index: int) -> float:
        axis = (0, 2)[index]  # of x, y, theta
        wanted, last = self._wanted[index], self._last[index]
        slower = abs(wanted) < abs(last) or wanted * last < 0.0
        limit = abs(self._given["max_decel" if slower else "max_accel"][axis]) / self._given["smoothing_frequency"]
        return last + min(max(wanted - last, -limit), limit)


if __name__ == "__main__":
    rclpy.init()
    node = {"mux": Mux, "smoother": Smoother}[sys.argv[1]]()
    with contextlib.suppress(ExternalShutdownException, KeyboardInterrupt):
        rclpy.spin(node)
