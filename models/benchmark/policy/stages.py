"""The stages of a control step, timed in real steps from the camera's JPEG to the numbers of the action."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle

from ...engine.engine import Running
from ...engine.history import LeanHistory
from ...engine.stages import DECODE, HEAD, MODEL, PREPROCESS, STAGES, StageClock, timed
from ...policy import VLAPolicy
from .opened import begin
from .pictures import INSTRUCTION, decode, jpegs, state_of, to_pictures
from .quantiles import Quantiles


@dataclass(frozen=True)
class StageTimes:
    """What timed steps came to.

    Attributes:
        steps: seconds of each step's stages by name; a step's stages sum up to the step.
    """

    steps: tuple[dict[str, float], ...]

    @property
    def totals(self) -> list[float]:
        """Seconds of each whole step."""
        return [sum(step.values()) for step in self.steps]

    @property
    def step(self) -> Quantiles:
        """Of whole steps."""
        return Quantiles.of(self.totals)

    @property
    def stages(self) -> dict[str, Quantiles]:
        """Of each stage, in the order in which they run."""
        return {
            stage: Quantiles.of([step[stage] for step in self.steps])
            for stage in STAGES
            if all(stage in step for step in self.steps)
        }


def time_stages(
    policy: VLAPolicy, steps: int, warm_up: int | None = None, done: Callable[[], object] = lambda: None
) -> StageTimes:
    """Time the stages of a run's steps.

    Args:
        policy: whose engine runs a run of its own.
        steps: to time.
        warm_up: steps before them; None: until the window is full.
        done: is called after every step.
    """
    device = policy.model.device
    clock = StageClock(device)
    sent, state = cycle(jpegs()), state_of(policy.config, device)
    before = policy.config.window if warm_up is None else warm_up
    with _watched(begin(policy, INSTRUCTION), clock) as (run, whole):
        for number in range(before + steps):
            jpeg = next(sent)
            clock.begin()
            rgb = decode(jpeg)
            clock.lap(DECODE)
            pictures = to_pictures(rgb, policy.config, device)
            if whole:
                clock.lap(PREPROCESS)
            continuous, binary = run.step(pictures, state)
            continuous.float().cpu(), binary.float().cpu()
            clock.lap(MODEL if whole else HEAD)
            if number >= before:
                clock.end()
            done()
    return StageTimes(tuple(clock.steps))


@contextmanager
def _watched(run: Running, clock: StageClock) -> Iterator[tuple[Running, bool]]:
    """The run, and whether it can be timed as a whole only."""
    if not isinstance(run, LeanHistory):
        yield run, True
        return
    with timed(run, clock) as history:
        yield history, False
