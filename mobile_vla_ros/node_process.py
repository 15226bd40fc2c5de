"""The process around a node: start, signals, shutdown; the same for every executable of this package."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NoReturn

import rclpy
from rclpy.callback_groups import CallbackGroup
from rclpy.exceptions import ParameterException
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from .executor import RobotExecutor

DISCOVERY_TIME = 3.0  # s within which nodes find each other, also on a machine with too much to do


class StartError(Exception):
    """A node cannot start; the message is for its user, and all that they need."""


class RobotNode(Node, ABC):
    """A node whose process must not end before it has brought the robot to rest.

    Attributes:
        slow: callbacks that may take long; None: none do.
        failed: it cannot go on, and has said why: its process ends with exit code 1.
    """

    slow: CallbackGroup | None = None
    failed = False

    @abstractmethod
    def close(self) -> bool:
        """Bring everything that moves to rest and end all threads; the node can still publish.

        Returns:
            Whether all threads have ended; one may be stuck in a policy.
        """


def run(create: Callable[[], RobotNode], argv: list[str] | None = None) -> int:
    """Create a node and spin it until SIGINT or SIGTERM; then close it while it can still publish.

    With rclpy's own signal handlers the context is gone before Python hears of the signal, and a last zero
    command never leaves.

    Args:
        create: makes the node; called after rclpy.init.
        argv: command line with ROS arguments; None: that of the process.

    Returns:
        Exit code: 0 after a signal, 1 if the node could not start or failed, 130 if interrupted while
        starting.
    """
    # While the node starts, signals interrupt what is under way, such as loading a model. They are set in any
    # case: shells start background jobs with SIGINT ignored, and a robot must be stoppable.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    code, ended = 0, True
    try:
        rclpy.init(args=argv, signal_handler_options=SignalHandlerOptions.NO)
        code, ended = _spin(create())
        return code
    except KeyboardInterrupt:
        return 130
    # rclpy raises RuntimeErrors for bad ROS arguments.
    except (StartError, ParameterException, RuntimeError) as error:
        print(f"cannot start: {error}", file=sys.stderr)
        return 1
    finally:
        if rclpy.ok():
            rclpy.shutdown()
        if not ended:
            _leave(code)


def refuse_second_instance(node: Node, since: float) -> None:
    """Make sure that no other node of this name runs: two of them would drive one robot.

    Args:
        node: the node that starts; it has not published anything yet.
        since: s, time.monotonic() when it was created; discovery has been at work from then on.

    Raises:
        StartError: there is another one.
    """
    own = (node.get_name(), node.get_namespace())
    while True:
        if node.get_node_names_and_namespaces().count(own) > 1:
            raise StartError(
                f"a node named {node.get_fully_qualified_name()} is already running: "
                "stop it, or rename this one with --ros-args -r __node:=NAME"
            )
        if time.monotonic() - since > DISCOVERY_TIME:
            return
        time.sleep(0.05)


def _spin(node: RobotNode) -> tuple[int, bool]:
    """Exit code, and whether all threads have ended."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    executor = RobotExecutor(node.slow)
    executor.add_node(node)
    code, ended = 0, False
    try:
        while not stop.is_set() and not node.failed:
            executor.spin_once(timeout_sec=0.1)
        code = int(node.failed)
    except Exception as error:  # noqa: BLE001  (whatever it is, the robot is stopped below)
        node.get_logger().fatal(f"stopped by an unexpected {type(error).__name__}: {error}")
        traceback.print_exc()
        code = 1
    finally:
        ended = node.close() and not executor.busy
        if ended:
            node.destroy_node()
    return code, ended


def _leave(code: int) -> NoReturn:
    """End the process although a thread is at work in a policy: it would bring the interpreter down on its way out."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
