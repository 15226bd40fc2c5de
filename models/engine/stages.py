"""Where the time of a step goes: an engine's parts between the ticks of a clock."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter

import torch
from torch import Tensor, nn

from .history import LeanHistory
from .parts import Parts, PassedOn, Prepared

DECODE, PREPROCESS, VISION, CONNECTOR, TEXT, CLIP, HISTORY, HEAD = (
    "decode",
    "preprocess",
    "vision",
    "connector",
    "text",
    "clip",
    "history",
    "head",
)
# Of engines that run both in one piece.
SEE = f"{VISION} + {CONNECTOR}"
# Of policies without parts.
MODEL = "model"
STAGES = (DECODE, PREPROCESS, VISION, CONNECTOR, SEE, CLIP, TEXT, HISTORY, HEAD, MODEL)


class StageClock:
    """Divides steps into laps without gaps: the stages of a step sum up to its time.

    Args:
        device: of the work; what is queued on a CUDA device is waited for at every tick.

    Attributes:
        steps: seconds of every step's stages by name.
        before: the stage that runs until a part begins.
    """

    def __init__(self, device: torch.device) -> None:
        self.steps: list[dict[str, float]] = []
        self.before = PREPROCESS
        self._device = device
        self._laps: defaultdict[str, float] = defaultdict(float)
        self._last = 0.0

    def begin(self) -> None:
        """Begin a step."""
        self._laps, self.before = defaultdict(float), PREPROCESS
        self._last = self._now()

    def lap(self, stage: str) -> None:
        """Say which stage ran since the last tick."""
        now = self._now()
        self._laps[stage] += now - self._last
        self._last = now

    def end(self) -> None:
        """End a step."""
        self.steps.append(dict(self._laps))

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return perf_counter()


class TimedParts(PassedOn):
    """Parts between laps of a clock; `fuse` is part of the history, as is what happens before and after it.

    Args:
        parts: that compute.
        clock: that is told what ran.
    """

    def __init__(self, parts: Parts, clock: StageClock) -> None:
        super().__init__(parts)
        self._clock = clock
        self._connects = False

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Tell vision and connector apart while it is open, where the connector is a module that is called."""
        connector = getattr(self._parts, "connector", None)
        if not isinstance(connector, nn.Module):
            yield
            return
        handle = connector.register_forward_pre_hook(self._connect)
        try:
            yield
        finally:
            handle.remove()

    def see(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """See `Parts.see`."""
        self._enter()
        self._connects = False
        seen = self._parts.see(pixels)
        self._clock.lap(CONNECTOR if self._connects else SEE)
        return seen

    def read(self, latents: Tensor, prepared: Prepared) -> Tensor:
        """See `Parts.read`."""
        self._enter()
        feature = self._parts.read(latents, prepared)
        self._clock.lap(TEXT)
        return feature

    def clip(self, pixels: Tensor, prepared: Prepared) -> tuple[Tensor, ...]:
        """See `Parts.clip`."""
        self._enter()
        features = self._parts.clip(pixels, prepared)
        self._clock.lap(CLIP)
        return features

    def act(self, window: Tensor) -> tuple[Tensor, Tensor]:
        """See `Parts.act`."""
        self._enter()
        answer = self._parts.act(window)
        self._clock.lap(HEAD)
        return answer

    def _enter(self) -> None:
        self._clock.lap(self._clock.before)
        self._clock.before = HISTORY

    def _connect(self, *_: object) -> None:
        # Nothing can be waited for while work is only being recorded for later.
        if not (torch.cuda.is_available() and torch.cuda.is_current_stream_capturing()):
            self._clock.lap(VISION)
            self._connects = True


@contextmanager
def timed(history: LeanHistory, clock: StageClock) -> Iterator[LeanHistory]:
    """A run of the same policy under the same instruction, from its beginning, whose stages the clock is told of."""
    proxies: list[TimedParts] = []

    def wrap(parts: Parts) -> Parts:
        proxies.append(TimedParts(parts, clock))
        return proxies[-1]

    run = rebuilt(history, wrap)
    with proxies[0].watched():
        yield run


def rebuilt(history: LeanHistory, wrap: Callable[[Parts], Parts], window: int | None = None) -> LeanHistory:
    """A run of the same policy under the same instruction, from its beginning.

    Args:
        history: whose parts and instruction are taken over.
        wrap: what to put around the parts.
        window: frames of the window; None: as it is.
    """
    config = history.config
    if window is not None:
        config = config.model_copy(update={"window": window})
    return LeanHistory(config, wrap(history.parts), history.prepared)
