"""Frames in one causal sequence (history "pre"): what is kept of earlier frames, against encoding all of them."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from ..history import begin_history
from ..modeling import Observation
from .subject import Subject, subject
from .timing import Comparison, compare


def frames_in_one_sequence(repeats: int) -> Iterator[Comparison]:
    """A step in the middle of the first window (keys and values kept), and one later (pictures kept)."""
    policy = subject("lstm", "pre")
    window = policy.model.config.window
    yield _step(policy, window // 2, "keys, values and pictures kept", repeats)
    yield _step(policy, window + 1, "pictures kept", repeats)


def _step(policy: Subject, number: int, what: str, repeats: int) -> Comparison:
    """The step with `number` frames before it."""
    model, instruction = policy.model, policy.instruction
    frames = policy.frames(number + 1)
    seen = frames[max(0, number + 1 - model.config.window) :]
    runs = []
    for _ in range(repeats + 1):
        history = begin_history(model, instruction)
        for frame in frames[:number]:
            history.step(frame, None)
        runs.append(history)

    @torch.inference_mode()
    def anew() -> object:
        return model(Observation(seen.unsqueeze(0)), instruction)

    name = f"pre, frame {number + 1} with a window of {model.config.window}: {what}"
    return compare(name, anew, lambda: runs.pop().step(frames[number], None), repeats)
