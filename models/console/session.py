"""A policy with what was shown to it last: steps through a run, one frame at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from ..action import ActionChunk
from ..policy import VLAPolicy
from ..sentence import normalize_instruction
from .errors import ConsoleError
from .pictures import read_picture

# Waits for the next frame of a topic, uint8 RGB (height, width, 3).
Camera = Callable[[str], NDArray[np.uint8]]
WARM_UP = 3  # steps at least before steps are timed: the first encodes the instruction, and allocates


@dataclass(frozen=True)
class Step:
    """A step of the run.

    Attributes:
        chunk: what the policy said.
        number: of the step, from 1.
        restarted: whether the history was forgotten because the text had changed.
        latency: ms, from the picture to the chunk.
    """

    chunk: ActionChunk
    number: int
    restarted: bool
    latency: float


class Session:
    """Keeps the last picture, where it is from, and the last text, so that the next step may leave them out.

    Args:
        policy: with no history yet; from now on stepped by this object only.
        camera: gives the next frame of a topic; None: there are no topics.
    """

    def __init__(self, policy: VLAPolicy, camera: Camera | None = None) -> None:
        self.policy = policy
        self._camera = camera
        self.source: str | None = None  # file or topic
        self.picture: NDArray[np.uint8] | None = None
        self.text: str | None = None
        self.steps = 0

    def step(self, source: str | None, text: str | None) -> Step:
        """Take a frame.

        Args:
            source: file or topic; None: the last one. A topic gives its next frame.
            text: instruction; None: the last one.

        Raises:
            ConsoleError: nothing to go on from, or no picture there.
            ValueError: the policy refuses the frame or the text; the history is then forgotten.
        """
        source = self.source if source is None else source
        text = self.text if text is None else normalize_instruction(text)
        if source is None:
            raise ConsoleError('there is no last picture yet: expected infer IMAGE|TOPIC "TEXT"')
        if text is None:
            raise ConsoleError('there is no last text yet: expected infer IMAGE|TOPIC "TEXT"')
        picture = self._receive(source) if is_topic(source) else read_picture(Path(source).expanduser())
        restarted = self.steps > 0 and text != self.text
        if restarted:
            self.forget()
        begin = perf_counter()
        chunk = self._stepped(picture, text)
        latency = (perf_counter() - begin) * 1e3
        self.source, self.picture, self.text = source, picture, text
        self.steps += 1
        return Step(chunk, self.steps, restarted, latency)

    def forget(self) -> None:
        """Begin a new run; the last picture and text stay."""
        self.policy.reset()
        self.steps = 0

    def time_steps(
        self, picture: NDArray[np.uint8], text: str, count: int, progress: Callable[[int, int], None]
    ) -> NDArray[np.float64]:
        """Latencies of `count` steps in a run of their own, ms; the window is full before the first is timed.

        Args:
            picture: uint8 (height, width, 3), the same for every step.
            text: instruction.
            count: of steps.
            progress: is told how many steps of how many are done.
        """
        warm_up = max(self.policy.config.window, WARM_UP)
        latencies = np.empty(count)
        self.forget()
        try:
            for number in range(-warm_up, count):
                begin = perf_counter()
                self._stepped(picture, text)
                if number >= 0:
                    latencies[number] = (perf_counter() - begin) * 1e3
                progress(number + warm_up + 1, count + warm_up)
        finally:
            self.forget()
        return latencies

    def _receive(self, topic: str) -> NDArray[np.uint8]:
        if self._camera is None:
            raise ConsoleError(f"topic {topic}: this console has no ROS, expected a file")
        return self._camera(topic)

    def _stepped(self, picture: NDArray[np.uint8], text: str) -> ActionChunk:
        try:
            return self.policy.step(picture, text)
        except BaseException:  # of Ctrl-C too: half a frame in the history would stand in all later answers
            self.forget()
            raise


def is_topic(source: str) -> bool:
    """Whether a word names a topic rather than a file: absolute, no such file, no dot, which topics cannot have."""
    return source.startswith("/") and "." not in source and not Path(source).is_file()
