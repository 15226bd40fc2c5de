"""A stand-in for what lies between node and wheels: a node, `mux`, that subscribes to a topic of commands."""

from __future__ import annotations

import sys
import time

import rclpy
from geometry_msgs.msg import TwistStamped
from rclpy.executors import ExternalShutdownException

from .bench import COMMAND_TOPIC
from .demands import obey, tell_fault

NODE = "policy_node"


def main() -> int:
    """Run the node, and print when it has subscribed; the exit code."""
    obey(lambda _: None)
    rclpy.init()
    node = rclpy.create_node("mux", enable_rosout=False)
    while NODE not in node.get_node_names():  # until the processes know each other a subscription is not heard of
        time.sleep(0.02)
    node.create_subscription(TwistStamped, COMMAND_TOPIC, lambda _: None, 1)
    tell_fault()
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        return 0
    finally:
        node.destroy_node()
    return 0


if __name__ == "__main__":
    sys.exit(main())
