"""Other ways of the same step beside ours, in one process, in turn, with their answers compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle
from time import perf_counter

import torch
from torch import Tensor

from ...policy import VLAPolicy
from .opened import begin_lean
from .pictures import INSTRUCTION, decode, jpegs, to_pictures
from .quantiles import Quantiles
from .ways import Answer, Ours, RoboVLMs, Stock, Way, WholeWindow

WINDOWS = (8, 64)
_LONGEST = 120.0  # s of one step
_WIDTHS = (2.0, 1.0)  # of the ranges of an answer's numbers, group by group


@dataclass(frozen=True)
class TimedWay:
    """A way of the step.

    Attributes:
        name: of the way.
        times: milliseconds of a step, from the resized picture to the numbers of the action.
        difference: the greatest from our answers: of each action as a share of its range, of probabilities as it is.
    """

    name: str
    times: Quantiles
    difference: float


@dataclass(frozen=True)
class Comparison:
    """All of them.

    Attributes:
        ways: ours last.
        windows: our step with other windows, full ones, by their frames; milliseconds. Empty for heads that look at a
            window of one length.
        steps: timed of each.
        spread: the greatest difference between our answers to one frame and the next, likewise; those of `ways` are to
            be seen beside it.
        left_out: ways that would have taken too long.
    """

    ways: tuple[TimedWay, ...]
    windows: dict[int, Quantiles]
    steps: int
    spread: float
    left_out: tuple[str, ...]

    @property
    def stored(self) -> TimedWay:
        """The way that runs the policy's weights as they are stored, whatever our engine runs."""
        return self.ways[0]


def compare(policy: VLAPolicy, steps: int, done: Callable[[], object] = lambda: None) -> Comparison:
    """Time and compare.

    Args:
        policy: whose step is made of parts.
        steps: of each way, in turn; one more before them warms up.
        done: is called after every step.

    Raises:
        BenchmarkError: its step is not made of parts.
    """
    begin_lean(policy, INSTRUCTION)
    config = policy.config
    ways: list[Way] = [way(policy, INSTRUCTION) for way in (Stock, RoboVLMs, WholeWindow, Ours)]
    frames = [to_pictures(decode(jpeg), config, policy.model.device) for jpeg in jpegs()]
    # An emulated precision takes minutes where others take seconds.
    seconds, _ = _timed(ways[0], frames[-1])
    slow = [way for way in ways if isinstance(way, WholeWindow) and seconds * config.window > _LONGEST]
    ways = [way for way in ways if way not in slow]
    # The window's length is no part of these heads; others cannot be asked for another one.
    free = config.history == "post" and config.head.type in ("lstm", "fc")
    lengths = WINDOWS if free else ()
    windows: list[Way] = [Ours(policy, INSTRUCTION, window) for window in lengths]
    if config.window > 1:
        for way in ways:
            way.still(frames[-1], config.window - 1)
    for window, way in zip(lengths, windows, strict=True):
        way.still(frames[-1], window)
    times: list[list[float]] = [[] for _ in (*ways, *windows)]
    differences = [0.0] * len(ways)
    spread, previous = 0.0, None
    following = cycle(frames)
    for number in range(steps + 1):
        pictures = next(following)
        answers: list[Answer] = []
        for way, measured in zip((*ways, *windows), times, strict=True):
            seconds, answer = _timed(way, pictures)
            answers.append(answer)
            if number:
                measured.append(seconds)
            done()
        ours = answers[len(ways) - 1]
        spread = max(spread, 0.0 if previous is None else _difference(previous, ours))
        previous = ours
        for index, answer in enumerate(answers[: len(ways)]):
            differences[index] = max(differences[index], _difference(answer, ours))
    quantiles = [Quantiles.of(measured) for measured in times]
    return Comparison(
        tuple(
            TimedWay(way.name, quantile, difference)
            for way, quantile, difference in zip(ways, quantiles[: len(ways)], differences, strict=True)
        ),
        dict(zip(lengths, quantiles[len(ways) :], strict=True)),
        steps,
        spread,
        tuple(way.name for way in slow),
    )


def _timed(way: Way, pictures: Tensor) -> tuple[float, Answer]:
    if pictures.device.type == "cuda":
        torch.cuda.synchronize(pictures.device)
    begin = perf_counter()
    continuous, binary = way.step(pictures)
    answer = continuous.float().cpu(), binary.float().cpu()
    return perf_counter() - begin, answer


def _difference(answer: Answer, other: Answer) -> float:
    """The greatest, of each number as a share of its range: actions go from -1 to 1 here, probabilities from 0 to 1."""
    shares = [
        float((one - two).abs().max()) / width
        for one, two, width in zip(answer, other, _WIDTHS, strict=True)
        if one.numel()
    ]
    return max(shares, default=0.0)
