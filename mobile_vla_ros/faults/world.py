"""A robot in simulated time: the control core, a worker with a policy that goes wrong, and everything around them."""

from __future__ import annotations

import array
import threading
from collections import deque
from dataclasses import dataclass

from sensor_msgs.msg import Image

from mobile_vla_models.sentence import shipped_stop_sentences

from ..control import ActionRange, Arming, Command, ControllerConfig, DriveController, PolicyStepper
from ..images import ImageError, check
from ..inference.worker import Answer, Failure, InferenceWorker, Planned, Request
from .policy import BRAKING, CONTINUOUS, DT, LIMITS, FaultyPolicy
from .promises import EMERGENCY_STOP_TIMEOUT, ODOMETRY_TIMEOUT

TICK = 0.05  # s
FRAME_TICKS = 2  # between two frames
CONFIG = ControllerConfig(dt=DT, odometry_timeout=ODOMETRY_TIMEOUT)
STOP = shipped_stop_sentences()
# Gentler than the policy's own: braking is not.
GENTLE = LIMITS.tightened(
    {"linear_acceleration": 0.5, "angular_acceleration": 1.5, "linear_jerk": 5.0, "angular_jerk": 15.0}
)
ANSWER_TIMEOUT = 10.0  # s of real time from which on a worker that does not answer counts as a deadlock
_SIZE = 4  # pixels, both ways


class DeadlockError(RuntimeError):
    """A thread waits for what does not come."""


@dataclass
class Surroundings:
    """What is as it is because of faults.

    Attributes:
        camera: frames come.
        frozen: they are all the same.
        encoding: of them.
        odometry: it comes.
        heartbeat: the emergency stop's topic says that it is not pressed.
        stamp_error: s, of the frames' stamps.
        latency: s from a frame to its answer.
        starved: ticks of the control loop that it misses now.
    """

    camera: bool = True
    frozen: bool = False
    encoding: str = "rgb8"
    odometry: bool = True
    heartbeat: bool = True
    stamp_error: float = 0.0
    latency: float = 0.1
    starved: int = 0


class World:
    """Steps through simulated time; whoever steps it makes things go wrong.

    Attributes:
        steady, now: s: the steady clock, and the one that stamps frames.
        around: what is wrong outside the policy.
        policy: what steers.
        controller: that decides.
        last_frame: s, steady, when the last frame came that has nothing wrong with it.
        last_bad: s, steady, when the last one came that cannot be a picture.
        last_odometry, last_heartbeat: s, steady.
        pending: s, steady, since when the policy owes an answer; None: it does not.
        failed: the policy failed, and no instruction came since.
        jumped: the clock jumped just before the last command.
        gap: s between the last two commands.
        steps: of the policy.
        workers: that were started.
    """

    def __init__(self) -> None:
        self.steady, self._offset = 0.0, 1000.0
        self.around = Surroundings()
        self.last_frame = self.last_odometry = self.last_heartbeat = float("-inf")
        self.pending: float | None = None
        self.failed = self.jumped = False
        self.steps = self.workers = 0
        self._ticks = 0
        self._picture = 0
        self.gap = TICK
        self._jumps = 0.0  # s, that the clock is to jump at the next tick
        self._asked = 0  # how often the policy was asked anew; what it was asked for before does not count
        # s, steady, when an answer is there; what it was asked for.
        self._due: deque[tuple[float, int, Answer]] = deque()
        self._answered = threading.Event()
        self._start()

    @property
    def now(self) -> float:
        """S, the clock that stamps frames."""
        return self.steady + self._offset

    @property
    def alive(self) -> bool:
        """Whether the policy's thread still runs."""
        return self._worker.alive

    def restart(self) -> None:
        """A new process: nothing is as it was but the world."""
        self.close()
        self._start()

    def close(self) -> None:
        """End the worker."""
        self._worker.close(ANSWER_TIMEOUT)

    def _start(self) -> None:
        self.policy = FaultyPolicy(lambda _: None)
        self._worker = InferenceWorker(PolicyStepper(self.policy, DT), lambda: None, self._answered.set)
        self.workers += 1
        self.arming = Arming(EMERGENCY_STOP_TIMEOUT)
        self.controller = DriveController(
            GENTLE, CONFIG, ActionRange.of(CONTINUOUS), self.arming, stop_sentences=STOP, braking=BRAKING
        )
        self._due.clear()
        self.failed = False
        self.last_bad = float("-inf")  # it came to the process before
        self._ask_anew()

    def instruct(self, text: str) -> None:
        """Give an instruction."""
        self.controller.set_instruction(text)
        self.failed = False
        self._ask_anew()

    def disarm(self) -> None:
        """Slow down, and stand."""
        self.controller.disarm("by request")
        self._ask_anew()

    def stop(self) -> None:
        """Emergency stop."""
        self.arming.stop("by request")
        self.controller.withdraw()
        self._ask_anew()

    def jump(self, seconds: float) -> None:
        """The clock that stamps frames jumps before the next command."""
        self._jumps = seconds

    def tick(self) -> Command:
        """One period of the control loop, or several that it missed; its command."""
        self.gap = TICK * (1 + self.around.starved)
        self.around.starved = 0
        self.steady += self.gap
        self._ticks += 1
        if self.around.heartbeat:
            self.last_heartbeat = self.steady
            self.arming.press(False, self.steady)
        if self.around.odometry:
            self.last_odometry = self.steady
            self.controller.on_odometry(self.steady)
        if self.around.camera and self._ticks % FRAME_TICKS == 0:
            self._send_frame()
        while self._due and self._due[0][0] <= self.steady:
            _, asked, answer = self._due.popleft()
            if asked == self._asked:
                self.pending = self.steady if any(entry[1] == asked for entry in self._due) else None
            elif self.pending is not None:
                self.pending = self.steady  # only now does it begin with what counts
            self._take(answer)
        if not self._worker.alive:
            self._fail("policy: its worker has died; restart the node")
        self._offset, self.jumped, self._jumps = self._offset + self._jumps, self._jumps != 0.0, 0.0
        if self.jumped:
            self._ask_anew()
        return self.controller.command(self.now, self.steady)

    def _ask_anew(self) -> None:
        self._asked += 1
        self.pending = None

    def _send_frame(self) -> None:
        around, controller = self.around, self.controller
        self._picture += not around.frozen
        message = _image(self._picture, around.encoding)
        try:
            check(message)
        except ImageError as error:
            self.last_bad = self.steady
            controller.refuse_frame(str(error), self.steady)
            return
        stamp = self.now + around.stamp_error
        if around.stamp_error == 0.0:
            self.last_frame = self.steady
        if not controller.on_frame(stamp, self.now, self.steady, self._picture):
            return
        self.pending = self.steady if self.pending is None else self.pending
        self.steps += 1
        request = Request(message, stamp, controller.instruction, controller.instruction_id, self.steady)
        for answer in self._answers(request):
            self._due.append((self.steady + around.latency, self._asked, answer))

    def _answers(self, request: Request) -> list[Answer]:
        """What the worker's thread answers, in real time; simulated time stands still meanwhile."""
        if not self._worker.alive:
            return []
        dies = self.policy.fault == "die"
        self._answered.clear()
        self._worker.submit(request)
        if dies:
            self._worker.close(ANSWER_TIMEOUT)
            if self._worker.alive:
                raise DeadlockError(f"a worker whose policy ended it lives on after {ANSWER_TIMEOUT:g} s")
            return []
        if not self._answered.wait(ANSWER_TIMEOUT):
            raise DeadlockError(f"the worker has not answered for {ANSWER_TIMEOUT:g} s")
        return self._worker.answers()

    def _take(self, answer: Answer) -> None:
        controller = self.controller
        if isinstance(answer, Planned):
            controller.accept(answer.plan, self.now, self.steady)
            if controller.refusal is not None and controller.refusal.startswith("policy: "):
                self.failed = True
        elif isinstance(answer, Failure) and answer.instruction_id == controller.instruction_id:
            self._fail(answer.reason)

    def _fail(self, reason: str) -> None:
        self.failed, self.pending = True, None
        self.controller.policy_failed(reason)


def _image(number: int, encoding: str) -> Image:
    data = array.array("B", number.to_bytes(8, "little") * (_SIZE * _SIZE * 3 // 8))
    return Image(height=_SIZE, width=_SIZE, step=3 * _SIZE, encoding=encoding, data=data)
