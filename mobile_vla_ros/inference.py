"""Inference beside the executor: a slot for the newest frame and a thread that runs the policy on it."""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import dataclass

from sensor_msgs.msg import CompressedImage, Image

from .control import ActionPlan, PolicyStepper
from .images import ImageError, to_rgb


@dataclass(frozen=True)
class Request:
    """A frame that the policy is to make a recurrent step with.

    Attributes:
        message: the frame.
        stamp: s.
        instruction: the sentence to follow.
        instruction_id: its number.
    """

    message: Image | CompressedImage
    stamp: float
    instruction: str
    instruction_id: int


@dataclass(frozen=True)
class Planned:
    """The policy answered.

    Attributes:
        plan: what it says.
        seconds: that it took, with the frame's decoding.
    """

    plan: ActionPlan
    seconds: float


@dataclass(frozen=True)
class BadFrame:
    """A frame could not be decoded.

    Attributes:
        reason: why.
        stamp: s, of the frame.
    """

    reason: str
    stamp: float


@dataclass(frozen=True)
class Failure:
    """The policy raised.

    Attributes:
        reason: type and text of the exception.
        instruction_id: what it was asked for.
    """

    reason: str
    instruction_id: int


Answer = Planned | BadFrame | Failure


class InferenceWorker:
    """Runs the policy in a thread of its own, always on the newest frame.

    Nothing here waits for the policy: a frame that comes while it works replaces the one that waits, and
    answers are picked up when there are any. A policy that never returns blocks its thread only.

    Args:
        stepper: the policy; from now on only this thread calls it.
    """

    def __init__(self, stepper: PolicyStepper) -> None:
        self._stepper = stepper
        self._slot: Request | None = None
        self._changed = threading.Condition()
        self._closed = False
        self._answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="inference", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread still runs."""
        return self._thread.is_alive()

    def submit(self, request: Request) -> None:
        """Put a frame into the slot, in the place of one that still waits there."""
        with self._changed:
            self._slot = request
            self._changed.notify()

    def discard(self) -> None:
        """Empty the slot."""
        with self._changed:
            self._slot = None

    def answers(self) -> list[Answer]:
        """What has been answered since the last call, oldest first."""
        found: list[Answer] = []
        while True:
            try:
                found.append(self._answers.get_nowait())
            except queue.Empty:
                return found

    def close(self, timeout: float) -> None:
        """End the thread; one stuck in the policy is left behind after `timeout` s (it is a daemon)."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(timeout)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._slot is not None or self._closed)
                request, self._slot = self._slot, None
                if self._closed or request is None:
                    return
            self._answers.put(self._answer(request))

    def _answer(self, request: Request) -> Answer:
        begin = time.monotonic()
        try:
            rgb = to_rgb(request.message)
            plan = self._stepper.step(rgb, request.stamp, request.instruction, request.instruction_id)
            return Planned(plan, time.monotonic() - begin)
        except ImageError as error:
            return BadFrame(str(error), request.stamp)
        except Exception as error:  # noqa: BLE001  (in a thread it would be lost)
            return Failure(f"policy: {type(error).__name__}: {error}", request.instruction_id)
