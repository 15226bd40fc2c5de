"""Frames of several cameras that were taken at nearly the same moment."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

Frame = TypeVar("Frame")
PATIENCE = 0.7  # s that a frame waits for the others: what one may be old on arrival, another ahead, and a tolerance


@dataclass(frozen=True)
class FrameSet(Generic[Frame]):
    """One frame of each camera.

    Attributes:
        stamp: s, of the oldest of them. It stands for all: a plan that is drawn from them knows nothing of one camera
            since then, so that by this stamp it is never taken for fresher than what it is drawn from.
        frames: by camera, in the order of the cameras.
    """

    stamp: float
    frames: Mapping[str, Frame]


class FrameSets(Generic[Frame]):
    """Puts the frames of several cameras together by their stamps, as message_filters' approximate time does.

    A set is the freshest that there is (that whose oldest frame is the newest) among those whose stamps lie within the
    tolerance. No frame is in two sets, and from set to set all stamps advance. With one camera each frame is a set.

    Args:
        cameras: their names.
        tolerance: s between the oldest and the newest stamp of a set.
    """

    def __init__(self, cameras: Iterable[str], tolerance: float) -> None:
        self._tolerance = tolerance
        self._waiting: dict[str, list[tuple[float, Frame]]] = {camera: [] for camera in cameras}
        self._newest: dict[str, float] = {}
        self.clear()

    def clear(self) -> None:
        """Forget all frames."""
        self._newest = dict.fromkeys(self._waiting, -math.inf)
        for waiting in self._waiting.values():
            waiting.clear()

    def add(self, camera: str, stamp: float, frame: Frame) -> FrameSet[Frame] | None:
        """Take a frame; the set that it completes, if it does.

        Args:
            camera: that took it.
            stamp: s. One that does not advance says that the clock has jumped back: nothing of before counts then.
            frame: whatever is to be put together.
        """
        if stamp <= self._newest[camera]:
            self.clear()
        self._newest[camera] = stamp
        self._waiting[camera].append((stamp, frame))
        newest = max(self._newest.values())
        for waiting in self._waiting.values():
            del waiting[: _first(waiting, newest - PATIENCE)]
        # A set that was not there before has this frame in it, so that its oldest is no older than the tolerance.
        stamps = {stamp for waiting in self._waiting.values() for stamp, _ in waiting}
        for oldest in sorted(stamps, reverse=True):
            if oldest < stamp - self._tolerance:
                break
            found = self._from(oldest)
            if found is not None:
                return found
        return None

    def _from(self, oldest: float) -> FrameSet[Frame] | None:
        """The narrowest set with no frame older than `oldest` (s); what is taken, and all before it, is gone."""
        chosen = {camera: _first(waiting, oldest) for camera, waiting in self._waiting.items()}
        if any(index == len(self._waiting[camera]) for camera, index in chosen.items()):
            return None
        found = {camera: self._waiting[camera][index] for camera, index in chosen.items()}
        if max(stamp for stamp, _ in found.values()) - oldest > self._tolerance:
            return None
        for camera, index in chosen.items():
            del self._waiting[camera][: index + 1]
        return FrameSet(oldest, {camera: frame for camera, (_, frame) in found.items()})


def _first(waiting: list[tuple[float, Frame]], stamp: float) -> int:
    """The place of the first frame that is not older than `stamp` (s)."""
    return bisect_left(waiting, stamp, key=lambda entry: entry[0])
