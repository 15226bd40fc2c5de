"""An executor whose callbacks never wait for one that takes long."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.executors import ShutdownException, SingleThreadedExecutor, TimeoutException


class RobotExecutor(SingleThreadedExecutor):
    """Runs callbacks in the thread that spins, but those of one group each in a thread of its own.

    A MultiThreadedExecutor would let control, parameters and arming run beside each other, and its threads, which a
    process waits for when it ends, would hold back a shutdown until a policy is loaded. Here only what may take seconds
    (to configure a node) leaves the thread.

    Args:
        slow: the group; None: there is none.
    """

    def __init__(self, slow: CallbackGroup | None) -> None:
        super().__init__()
        self._slow = slow
        self._threads: list[threading.Thread] = []
        self._errors: list[BaseException] = []

    @property
    def busy(self) -> bool:
        """A callback of the slow group still runs."""
        return any(thread.is_alive() for thread in self._threads)

    def spin_once(self, timeout_sec: float | None = None) -> None:
        """Wait for a callback and run it, or begin it; raises what one has raised."""
        if self._errors:
            raise self._errors.pop()
        try:
            handler, entity, _ = self.wait_for_ready_callbacks(timeout_sec=timeout_sec)
        except (ShutdownException, TimeoutException):
            return
        if self._slow is None or getattr(entity, "callback_group", None) is not self._slow:
            handler()
            error = handler.exception()
            if error is not None:
                raise error
        else:
            # A daemon: whoever leaves does not wait for a policy that is being loaded.
            thread = threading.Thread(target=self._run, args=(handler,), name="transition", daemon=True)
            self._threads = [one for one in self._threads if one.is_alive()]
            self._threads.append(thread)
            thread.start()

    def _run(self, handler: Callable[[], Any]) -> None:
        handler()
        error = handler.exception()  # type: ignore[attr-defined]  # a rclpy Task
        if error is not None:
            self._errors.append(error)
