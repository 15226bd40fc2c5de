"""Frames that cannot be used, left out when a source is listed: counted by camera and reason."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..image_header import ImageError
from .episode import Episode

LEAST = 2  # frames of each camera in an episode


@dataclass(frozen=True)
class LeftOut:
    """Frames of one camera that were left out.

    Attributes:
        listed: Frames that were looked at.
        reasons: Frames that were left out, by the reason.
    """

    listed: int
    reasons: dict[str, int]

    @property
    def frames(self) -> int:
        """Number of frames that were left out."""
        return sum(self.reasons.values())

    @property
    def text(self) -> str:
        """The counts, and the most frequent reason."""
        most = max(self.reasons, key=self.reasons.__getitem__)
        others = f" ({len(self.reasons) - 1} other reasons)" if len(self.reasons) > 1 else ""
        return f"{self.frames} of {self.listed} frames left out: {most}{others}"


@dataclass(frozen=True)
class LostEpisode:
    """An episode that was left out: one of its cameras has too few frames that can be used.

    Attributes:
        source: Name of the episode.
        camera: Name of the camera.
        left_out: Frames of that camera that were left out.
    """

    source: str
    camera: str
    left_out: LeftOut

    @property
    def text(self) -> str:
        """The episode, and why it was left out."""
        return f"episode {self.source} left out: camera {self.camera}: {self.left_out.text}"


def sift(count: int, check: Callable[[int], None]) -> tuple[NDArray[np.int64], Counter[str]]:
    """Find the frames that can be used.

    Args:
        count: Number of frames.
        check: Raises ImageError if the frame of this row cannot be used.

    Returns:
        int64 (n,), their rows; and how many of the others there are, by the reason.
    """
    kept: list[int] = []
    reasons: Counter[str] = Counter()
    for row in range(count):
        try:
            check(row)
            kept.append(row)
        except ImageError as error:
            reasons[str(error)] += 1
    return np.array(kept, dtype=np.int64), reasons


def count_left_out(episodes: Iterable[Episode]) -> dict[str, LeftOut]:
    """Frames that were left out of the episodes, by camera; cameras without such frames are not in it."""
    listed: Counter[str] = Counter()
    reasons: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for episode in episodes:
        for camera, pictures in episode.cameras.items():
            reasons[camera].update(episode.left_out.get(camera, {}))
            listed[camera] += len(pictures.stamps)
    return {camera: LeftOut(listed[camera] + found.total(), dict(found)) for camera, found in reasons.items() if found}


def without_lost(episodes: Sequence[Episode]) -> tuple[list[Episode], list[LostEpisode]]:
    """Part the episodes that can be used from those with a camera whose frames are left out but for one at most."""
    kept: list[Episode] = []
    lost: list[LostEpisode] = []
    for episode in episodes:
        of_camera = count_left_out([episode])
        short = [camera for camera in of_camera if len(episode.cameras[camera].stamps) < LEAST]
        if short:
            lost.append(LostEpisode(episode.source, short[0], of_camera[short[0]]))
        else:
            kept.append(episode)
    return kept, lost
