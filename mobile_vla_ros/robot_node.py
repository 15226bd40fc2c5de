"""The process around a node: start, signals, shutdown; the same for every executable of this package."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import signal
import socket
import sys
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import rclpy
from rcl_interfaces.msg import SetParametersResult
from rclpy.callback_groups import CallbackGroup
from rclpy.exceptions import ParameterException
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions

from .executor import RobotExecutor

KINDS = {bool: "true or false", int: "an integer", float: "a number", str: "a text"}
DISCOVERY_TIME = 3.0  # s within which nodes of two machines nearly always find each other


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
    _claim: socket.socket | None = None

    def set_parameters(self, parameter_list: list[Parameter[Any]]) -> list[SetParametersResult]:
        """As of rclpy, but an integer will do for a number."""
        return [self.set_parameters_atomically([parameter]) for parameter in parameter_list]

    def set_parameters_atomically(self, parameter_list: list[Parameter[Any]]) -> SetParametersResult:
        """As of rclpy, but an integer will do for a number; another wrong type is refused by name, value and type."""
        given = []
        for parameter in parameter_list:
            now = self.get_parameter(parameter.name).value if self.has_parameter(parameter.name) else parameter.value
            if isinstance(now, float) and type(parameter.value) is int:
                parameter = Parameter(parameter.name, value=float(parameter.value))
            if type(now) in KINDS and type(parameter.value) is not type(now):
                expected = KINDS[type(now)]
                reason = f"parameter {parameter.name} is {parameter.value!r}: expected {expected}"
                return SetParametersResult(successful=False, reason=reason)
            given.append(parameter)
        return super().set_parameters_atomically(given)

    @abstractmethod
    def close(self) -> bool:
        """Bring everything that moves to rest and end all threads; the node can still publish.

        Returns:
            Whether all threads have ended; one may be stuck in a policy.
        """

    def claim_name(self) -> None:
        """Make sure that no other node of this name runs on this machine: two of them would drive one robot.

        Discovery promises no time: it can lose a message and repeat it seconds later. The kernel tells at once and for
        certain, by a socket that only one process can bind and that is free when the process has ended.

        Raises:
            StartError: there is another one.
        """
        if self._claim is not None:
            return
        name = f"{self.context.get_domain_id()} {self.get_fully_qualified_name()}"
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            claim.bind(f"\0mobile_vla_ros {hashlib.sha256(name.encode()).hexdigest()}")  # abstract: leaves no file
        except OSError as error:
            claim.close()
            if error.errno != errno.EADDRINUSE:
                raise
            raise self._already_running() from error
        self._claim = claim

    def refuse_second_instance(self, since: float) -> None:
        """Make sure that no other node of this name has been discovered, on whatever machine.

        Args:
            since: s, time.monotonic() when it was created; discovery has been at work from then on.

        Raises:
            StartError: there is another one.
        """
        own = (self.get_name(), self.get_namespace())
        while self.get_node_names_and_namespaces().count(own) <= 1:
            if time.monotonic() - since > DISCOVERY_TIME:
                return
            time.sleep(0.05)
        raise self._already_running()

    def destroy_node(self) -> None:
        """Give up everything that it has of the graph, and its name."""
        super().destroy_node()
        if self._claim is not None:
            self._claim.close()

    def _already_running(self) -> StartError:
        return StartError(
            f"a node named {self.get_fully_qualified_name()} is already running: "
            "stop it; if this one is for another robot, give it a namespace: --ros-args -r __ns:=/NAME"
        )


def run(create: Callable[[], RobotNode], argv: list[str] | None = None) -> int:
    """Create a node and spin it until SIGINT, SIGTERM or SIGHUP; then close it while it can still publish.

    With rclpy's own signal handlers the context is gone before Python hears of the signal, and a last zero
    command never leaves.

    Args:
        create: makes the node; called after rclpy.init.
        argv: command line with ROS arguments; None: that of the process.

    A node that has started takes the process with it: exit code 0 after a signal, 1 if it failed.

    Returns:
        Exit code of a node that has not started: 1 if it could not, 130 if it was interrupted.
    """
    # While the node starts, signals interrupt what is under way, such as loading a model. They are set in any
    # case: shells start background jobs with SIGINT ignored, and a robot must be stoppable. A terminal that closes, as
    # that of a lost ssh, sends SIGHUP; who ignores that (nohup) wants the node to go on.
    ending = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        ending.append(signal.SIGHUP)
    for number in ending:
        signal.signal(number, signal.default_int_handler)
    try:
        rclpy.init(args=argv, signal_handler_options=SignalHandlerOptions.NO)
        code = _spin(create(), ending)
    except KeyboardInterrupt:
        return 130
    # rclpy raises RuntimeErrors for bad ROS arguments.
    except (StartError, ParameterException, RuntimeError) as error:
        print(f"cannot start: {error}", file=sys.stderr)
        return 1
    finally:
        if rclpy.ok():
            rclpy.shutdown()
    return _leave(code)


def _spin(node: RobotNode, ending: Sequence[signal.Signals]) -> int:
    """Until a signal of `ending` tells it to end, or it fails; the exit code."""
    signals: list[int] = []  # no Event: its lock is not for handlers, which may interrupt each other
    for number in ending:
        signal.signal(number, lambda number, _: signals.append(number))
    executor = RobotExecutor(node.slow)
    executor.add_node(node)
    code = 0
    try:
        while not signals and not node.failed:
            executor.spin_once(timeout_sec=0.1)
        code = int(node.failed)
    except Exception as error:  # noqa: BLE001  (whatever it is, the robot is stopped below)
        node.get_logger().fatal(f"stopped by an unexpected {type(error).__name__}: {error}")
        traceback.print_exc()
        code = 1
    finally:
        if node.close() and not executor.busy:
            node.destroy_node()  # while a thread may still use it, it is left alone
    return code


def _leave(code: int) -> NoReturn:
    """End the process at once.

    Python would take a second or two for it, on a busy machine more than the 5 s that ros2 launch waits, and a thread
    that is at work in a policy would bring it down on the way.
    """
    with contextlib.suppress(OSError):  # the terminal may be gone
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)
