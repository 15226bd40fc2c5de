"""Inference beside the executor: a slot for the newest frame and a thread that runs the policy on it."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field

from sensor_msgs.msg import CompressedImage, Image

from ..control import ActionPlan, PolicyStepper
from ..images import ImageError, ImageRules, to_rgb


@dataclass(frozen=True)
class Request:
    """A frame, or one of each camera, that the policy is to make a recurrent step with.

    Attributes:
        message: the frame of the policy's first camera.
        stamp: s, of the oldest frame.
        instruction: the sentence to follow.
        instruction_id: its number.
        received: s, time.monotonic() when the last of them arrived.
        extra: the frames of the other cameras, by name.
        rules: What the frames may be.
    """

    message: Image | CompressedImage
    stamp: float
    instruction: str
    instruction_id: int
    received: float
    extra: Mapping[str, Image | CompressedImage] = field(default_factory=dict)
    rules: ImageRules = field(default_factory=ImageRules)


@dataclass(frozen=True)
class Planned:
    """The policy answered.

    Attributes:
        plan: what it says.
        received, begun, decoded, planned: s, time.monotonic() when the frame arrived, when the worker took it, when it
            was a picture, and when the policy had answered.
    """

    plan: ActionPlan
    received: float
    begun: float
    decoded: float
    planned: float

    @property
    def seconds(self) -> float:
        """That the policy took, with the frame's decoding."""
        return self.planned - self.begun


@dataclass(frozen=True)
class BadFrame:
    """A frame could not be decoded.

    Attributes:
        reason: why.
        stamp: s, of the request.
        camera: whose frame it is; empty: the first one's.
    """

    reason: str
    stamp: float
    camera: str = ""


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


def drained(answers: queue.SimpleQueue[Answer]) -> list[Answer]:
    """What waits in a queue, oldest first."""
    found: list[Answer] = []
    while True:
        try:
            found.append(answers.get_nowait())
        except queue.Empty:
            return found


class InferenceWorker:
    """Runs the policy in a thread of its own, always on the newest frame.

    Nothing here waits for the policy: a frame that comes while it works replaces the one that waits, and
    answers are picked up when there are any. A policy that never returns blocks its thread only.

    Args:
        stepper: the policy; from now on only this thread calls it.
        warm_up: is called first, in the thread, for some of what a first step does is done for each thread. Whatever it
            raises, the constructor raises.
        answered: is called in the thread when there is an answer; never after `close`.
        changed: Says why the policy is not what was loaded any more; empty if it is.

    Attributes:
        replaced: how many frames were, by newer ones, before the policy could take them.
    """

    def __init__(
        self,
        stepper: PolicyStepper,
        warm_up: Callable[[], None],
        answered: Callable[[], None],
        changed: Callable[[], str] = lambda: "",
    ) -> None:
        self._stepper = stepper
        self._warm_up = warm_up
        self._answered = answered
        self._policy_changed = changed
        self._slot: Request | None = None
        self.replaced = 0
        self._changed = threading.Condition()
        self._closed = False
        self._answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self._warm: Future[None] = Future()
        self._thread = threading.Thread(target=self._work, name="inference", daemon=True)
        self._thread.start()
        self._warm.result()

    @property
    def alive(self) -> bool:
        """Whether the thread still runs."""
        return self._thread.is_alive()

    def defect(self) -> str:
        """Why the policy cannot be used until it is loaded anew; empty if it can. May be called often."""
        return self._policy_changed() if self.alive else "its worker has died; restart the node"

    def submit(self, request: Request) -> None:
        """Put a frame into the slot, in the place of one that still waits there."""
        with self._changed:
            self.replaced += self._slot is not None
            self._slot = request
            self._changed.notify()
        time.sleep(0.0)  # lets the worker have the interpreter, which the executor would keep until its next wait

    def discard(self) -> None:
        """Empty the slot."""
        with self._changed:
            self._slot = None

    def answers(self) -> list[Answer]:
        """What has been answered since the last call, oldest first."""
        return drained(self._answers)

    def close(self, timeout: float) -> bool:
        """End the thread; whether it has ended within `timeout` s: one stuck in the policy is left behind, a daemon."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _work(self) -> None:
        try:
            self._warm.set_result(self._warm_up())
        except BaseException as error:  # noqa: BLE001  (the constructor raises it)
            self._warm.set_exception(error)
            return
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._slot is not None or self._closed)
                request, self._slot = self._slot, None
                if self._closed or request is None:
                    return
            self._answers.put(self._answer(request))
            with self._changed:
                if self._closed:
                    return
                self._answered()

    def _answer(self, request: Request) -> Answer:
        begun, camera = time.monotonic(), ""
        try:
            rgb, extra = to_rgb(request.message, request.rules), {}
            for camera, message in request.extra.items():
                extra[camera] = to_rgb(message, request.rules)
            decoded = time.monotonic()
            plan = self._stepper.step(rgb, request.stamp, request.instruction, request.instruction_id, extra)
            return Planned(plan, request.received, begun, decoded, time.monotonic())
        except ImageError as error:
            return BadFrame(str(error), request.stamp, camera)
        except Exception as error:  # noqa: BLE001  (in a thread it would be lost)
            return Failure(f"policy: {type(error).__name__}: {error}", request.instruction_id)
