"""The overlay while the robot drives: drawn in a thread of its own, of the newest picture only."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mobile_vla_models.images import ImageRules, to_rgb

from ..control import ActionPlan, Command
from .camera import Camera
from .draw import SMALLEST, draw
from .drive import Drive

PERIOD = 0.1  # s between two overlays: people see no more, and a small machine has other work


@dataclass(frozen=True)
class Moment:
    """What an overlay is made of; nobody may change it any more.

    Attributes:
        message: the camera's.
        command: the last one.
        instruction: the sentence that is followed; empty if none is.
        plan: that is followed; None: none.
        now: s, clock of the plan.
        stop: probability that the task is done; None while the policy has not said.
    """

    message: Any
    command: Command
    instruction: str
    plan: ActionPlan | None
    now: float
    stop: float | None


class LiveOverlay:
    """Draws the newest moment that it was shown, and hands the picture on.

    A thread of its own, and not the policy's: the picture with the reason for standing still is wanted most when the
    policy hangs, and a policy that waited for a drawing would lose its rhythm.

    Args:
        camera: that takes the pictures.
        robot_width: m.
        rules: What the camera's images may be.
        publish: is called in the thread with the picture, uint8 (h, w, 3) RGB, and the camera's message. rclpy keeps
            the interpreter's lock until a message is sent, so pictures are made small enough for a socket's buffer:
            a slow network would hold commands back with a larger one.
        failed: is called in the thread with the reason when something fails for the first time.
    """

    def __init__(
        self,
        camera: Camera,
        robot_width: float,
        rules: ImageRules,
        publish: Callable[[NDArray[np.uint8], Any], None],
        failed: Callable[[str], None],
    ) -> None:
        self._camera, self._robot_width, self._rules = camera, robot_width, rules
        self._publish, self._failed = publish, failed
        self._told = False
        self._slot: Moment | None = None
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="overlay", daemon=True)
        self._thread.start()

    def show(self, moment: Moment) -> None:
        """Take it in the place of one that still waits; draws nothing, and raises nothing."""
        with self._changed:
            self._slot = moment
            self._changed.notify()

    def close(self, timeout: float) -> bool:
        """End the thread; whether it has ended within `timeout` s."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._slot is not None or self._closed)
                moment, self._slot = self._slot, None
                if self._closed or moment is None:
                    return
            begin = time.monotonic()
            try:
                rgb = fitted(to_rgb(moment.message, self._rules))
                self._publish(draw(rgb, self._camera, told(moment), self._robot_width), moment.message)
            except Exception as error:  # noqa: BLE001  (nobody drives by it)
                if not self._told:
                    self._told = True
                    self._failed(f"{type(error).__name__}: {error}")
            with self._changed:
                self._changed.wait_for(lambda: self._closed, max(0.0, begin + PERIOD - time.monotonic()))


def fitted(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture as wide as the words need; one that `draw` makes as wide is left as it is."""
    height, width = rgb.shape[:2]
    if 2 * width <= SMALLEST:
        return rgb
    size = (SMALLEST, max(1, round(height * SMALLEST / width)))
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def told(moment: Moment) -> Drive:
    """What the overlay tells of a moment.

    Raises:
        ValueError: something in it is not finite.
    """
    rows, plan = [], moment.plan
    if plan is not None:
        wanted = plan.at(moment.now)
        while wanted is not None:
            rows.append(wanted)
            wanted = plan.at(moment.now + len(rows) * plan.dt)
    command = moment.command
    return Drive(
        state=command.state.value,
        reason=command.reason,
        instruction=moment.instruction,
        linear_x=command.linear_x,
        angular_z=command.angular_z,
        plan=np.array(rows, np.float64).reshape(-1, 2),
        dt=1.0 if plan is None else plan.dt,
        stop=moment.stop,
    )
