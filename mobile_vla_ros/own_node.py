"""A ROS node in a context of its own, beside whatever else its process does with ROS."""

from __future__ import annotations

import threading
import time
from typing import Any

import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

_LOOK = 0.05  # s between looks whether a callback has failed, or the node is closing
_PATIENCE = 5.0  # s for a callback to end


class OwnNode:
    """A node whose callbacks run in a thread of its own; signals are left to the process.

    Only the main thread is interrupted by Ctrl-C, and that must not hit rclpy: in the middle of a message a
    KeyboardInterrupt becomes a RuntimeError ("Unable to convert call argument").

    Args:
        name: of the node.
        domain: ROS domain; None: that of the environment.
        options: of `rclpy.create_node`; logs do not go to /rosout.

    Attributes:
        ros: the node; make its subscriptions before `listen`.

    Raises:
        RuntimeError: ROS 2 does not start.
    """

    def __init__(self, name: str, domain: int | None = None, **options: Any) -> None:
        self._context = Context()
        self._failure: Exception | None = None
        self._closing = False
        rclpy.init(context=self._context, domain_id=domain, signal_handler_options=SignalHandlerOptions.NO)
        try:
            self.ros: Node = rclpy.create_node(name, context=self._context, enable_rosout=False, **options)
        except BaseException:
            rclpy.shutdown(context=self._context)
            raise
        self._executor = SingleThreadedExecutor(context=self._context)
        self._thread = threading.Thread(target=self._spin, name="listener", daemon=True)

    def listen(self) -> None:
        """Let callbacks run from now on."""
        self._executor.add_node(self.ros)
        self._thread.start()

    def wait(self, seconds: float) -> None:
        """Sleep, while callbacks run.

        Raises:
            Exception: what a callback has raised.
        """
        end = time.monotonic() + seconds
        while self._failure is None and (left := end - time.monotonic()) > 0.0:
            time.sleep(min(left, _LOOK))
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        """Leave the ROS graph."""
        self._closing = True
        if self._thread.is_alive():
            self._thread.join(_PATIENCE)
        if self._thread.is_alive():
            return  # a callback that does not end still uses the node
        self._executor.shutdown()
        self.ros.destroy_node()
        rclpy.shutdown(context=self._context)

    def _spin(self) -> None:
        try:
            while not self._closing:
                self._executor.spin_once(timeout_sec=_LOOK)
        except Exception as error:  # noqa: BLE001  (whatever it is, `wait` raises it where somebody hears of it)
            self._failure = error
