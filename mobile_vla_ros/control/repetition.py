"""Tell an instruction that is repeated from one that is given anew."""

from __future__ import annotations

import math


class Repetition:
    """Remembers the last instruction, when it was received last, and how its task ended.

    `ros2 topic pub` repeats a message once a second: that must not begin its task anew, nor give a policy that has
    failed one chance after the other. The same words are a new task

    - after another sentence, an emergency stop and a deactivation: always;
    - while they are followed: never;
    - when the task is done, the policy failed or an image is frozen: `timeout` seconds after they were received last;
    - when a person ended the task in words: at once, but `timeout` seconds after they were received last if they were
      being repeated: else a stop in words would hold until the next message only.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Whatever is received next is new."""
        self._sentence = ""
        self._received = -math.inf  # s, steady
        self._repeated = False  # it was received again within the timeout, and nothing else in between
        self._ended = False  # by a person, in words

    def end(self) -> None:
        """Note that a person ended the task in words."""
        self._ended = True

    def is_repeated(self, sentence: str, steady: float, timeout: float, followed: bool) -> bool:
        """Note an instruction that was received.

        Args:
            sentence: The instruction, normalised, not empty.
            steady: Time of its reception, s, steady clock.
            timeout: Time without the same words after which they are new, s; 0: they are always new.
            followed: Whether the last instruction is being followed: not done, and nothing failed that needs a new one.

        Returns:
            Whether it is no new task.
        """
        within = steady - self._received < timeout
        if timeout == 0.0 or sentence != self._sentence:
            repeated = False
        elif self._ended:
            repeated = within and self._repeated
        else:
            repeated = followed or within
        self._sentence, self._received, self._repeated = sentence, steady, repeated and within
        self._ended = self._ended and repeated
        return repeated
