"""A few frames of each camera: dark, over-exposed, blank and frozen ones, and small copies for comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ..episode import Episode, Signal
from ..left_out import LostEpisode, count_left_out
from .flags import Flag, Severity

SAMPLED = 6  # frames of an episode: more decode longer than they tell
SMALL = 16, 12  # width and height of the small copies
EXAMPLE_WIDTH = 200  # of the frames that the page shows

DARK, BRIGHT = 12.0, 250.0  # mean grey level; level of a pixel that holds no detail
BRIGHT_SHARE = 0.5  # of the pixels
BLANK = 3.0  # grey levels, standard deviation
SPOILT = 0.5  # of an episode's sampled frames
LEFT_OUT = 0.05  # of a camera's frames that cannot be used: more is no accident
MOVED_LINEAR, MOVED_ANGULAR = 0.05, 0.05  # m, rad: a picture cannot stay the same


@dataclass(frozen=True)
class Frames:
    """What sampled frames of one camera in one episode look like.

    Attributes:
        size: width and height.
        sampled: frames looked at.
        dark, overexposed, blank: how many of them.
        frozen: pairs of neighbours among them that are equal although the robot moved in between.
        unreadable: why frames could not be read, if so; the other numbers are 0 then.
    """

    size: tuple[int, int]
    sampled: int
    dark: int
    overexposed: int
    blank: int
    frozen: int
    unreadable: str | None


@dataclass(frozen=True)
class Sketch:
    """What is kept of the pictures for comparing episodes, some kilobytes.

    Attributes:
        small: uint8 (3, 12, 16, 3): first, middle and last sampled frame.
        arrived: float32 (180,): share of the last frame's pixels that are colourful and have this hue (in 2 degrees),
            over the least share of it in any sampled frame, which is background.
        warm: share of the slightly coloured pixels in the lower half with more red than blue; NaN without any.
    """

    small: NDArray[np.uint8]
    arrived: NDArray[np.float32]
    warm: float


def look(episode: Episode, camera: str) -> tuple[Frames, Sketch | None, list[NDArray[np.uint8]]]:
    """Sample an episode's frames.

    Returns:
        What they look like, what is kept of them (None where they could not be read), and the first, middle and last
        as small pictures to be shown.
    """
    pictures = episode.cameras[camera]
    rows = np.unique(np.linspace(0, len(pictures.stamps) - 1, SAMPLED).round().astype(np.int64))
    if len(pictures.stamps) == 0:
        return Frames((0, 0), 0, 0, 0, 0, 0, "no frame"), None, []
    try:
        frames = pictures.read(rows)
    except DataError as error:
        return Frames((0, 0), 0, 0, 0, 0, 0, str(error)), None, []
    greys = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    stamps = pictures.stamps[rows]
    moves = [_moved(episode, float(first), float(second)) for first, second in pairwise(stamps)]
    frozen = [moved and np.array_equal(a, b) for moved, (a, b) in zip(moves, pairwise(frames), strict=True)]
    height, width = frames[0].shape[:2]
    report = Frames(
        size=(width, height),
        sampled=len(frames),
        dark=sum(float(grey.mean()) < DARK for grey in greys),
        overexposed=sum(float((grey >= BRIGHT).mean()) > BRIGHT_SHARE for grey in greys),
        blank=sum(float(grey.std()) < BLANK for grey in greys),
        frozen=sum(frozen),
        unreadable=None,
    )
    chosen = [frames[0], frames[len(frames) // 2], frames[-1]]
    shown = [_resized(frame, EXAMPLE_WIDTH, round(EXAMPLE_WIDTH * height / width)) for frame in chosen]
    hues = np.stack([_hues(frame) for frame in frames])
    sketch = Sketch(
        small=np.stack([_resized(frame, *SMALL) for frame in chosen]),
        arrived=hues[-1] - hues.min(axis=0),
        warm=_warm(frames),
    )
    return report, sketch, shown


def _resized(frame: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _moved(episode: Episode, begin: float, end: float) -> bool:
    """Whether the robot moved so far that a picture cannot stay the same; measured where it is, else as commanded."""
    signal = episode.odometry if episode.odometry is not None and len(episode.odometry) else episode.actions
    for name in signal.names:
        far = MOVED_ANGULAR if name.startswith("angular") else MOVED_LINEAR
        if name.startswith(("linear", "angular")) and _travelled(signal, name, begin, end) > far:
            return True
    return False


def _travelled(signal: Signal, name: str, begin: float, end: float) -> float:
    part = signal.between(begin, end)
    if len(part) < 2:
        return 0.0
    speeds = np.abs(part.columns([name])[:-1, 0])
    return float(np.dot(speeds, np.diff(part.stamps)))


def _hues(frame: NDArray[np.uint8]) -> NDArray[np.float32]:
    hue, saturation, value = cv2.split(cv2.cvtColor(_resized(frame, 80, 60), cv2.COLOR_RGB2HSV))
    colourful = (saturation > 110) & (value > 50)
    return (np.bincount(hue[colourful], minlength=180) / hue.size).astype(np.float32)


def _warm(frames: list[NDArray[np.uint8]]) -> float:
    lower = np.concatenate([_resized(frame, 80, 60)[30:].reshape(-1, 3) for frame in frames]).astype(np.int16)
    spread, brightest = np.ptp(lower, axis=1), lower.max(axis=1)
    tinted = (spread > 0.1 * brightest) & (spread < 0.5 * brightest) & (brightest > 40)
    difference = lower[tinted, 0] - lower[tinted, 2]
    return float((difference > 0).mean()) if len(difference) > 0.02 * len(lower) else float("nan")


def left_out_flags(episodes: Sequence[Episode], lost: Sequence[LostEpisode]) -> list[Flag]:
    """Complaints about frames that cannot be used, and about episodes that were left out for them."""
    flags = []
    for camera, left_out in count_left_out(episodes).items():
        many = left_out.frames > LEFT_OUT * left_out.listed
        flags.append(
            Flag(
                "pictures",
                Severity.ERROR if many else Severity.WARNING,
                tuple(episode.source for episode in episodes if episode.left_out.get(camera)),
                f"camera {camera}: {left_out.text}",
                "Training and conversion leave them out, too: look at what records the camera.",
            )
        )
    if lost:
        others = f" ({len(lost) - 1} more episodes left out)" if len(lost) > 1 else ""
        sources, found = tuple(one.source for one in lost), f"{lost[0].text}{others}"
        flags.append(
            Flag(
                "pictures", Severity.ERROR, sources, found, "Training and conversion leave them out, too: record anew."
            )
        )
    return flags


def picture_flags(camera: str, reports: Mapping[str, Frames]) -> list[Flag]:
    """Complaints about one camera; `reports` by source."""
    flags: list[Flag] = []

    def complain(severity: Severity, episodes: list[str], found: str, remedy: str) -> None:
        if episodes:
            flags.append(Flag("pictures", severity, tuple(episodes), f"camera {camera}: {found}", remedy))

    unreadable = {source: report.unreadable for source, report in reports.items() if report.unreadable is not None}
    complain(
        Severity.ERROR,
        list(unreadable),
        f"{len(unreadable)} episodes have frames that cannot be read: {next(iter(unreadable.values()), '')}",
        "Leave them out.",
    )
    frozen = [source for source, report in reports.items() if report.frozen]
    complain(
        Severity.ERROR,
        frozen,
        f"{len(frozen)} episodes show the very same picture twice although the robot moved in between",
        "The camera had frozen: leave them out.",
    )
    for what, attribute in (("dark", "dark"), ("over-exposed", "overexposed"), ("of one shade", "blank")):
        spoilt = [
            source
            for source, report in reports.items()
            if report.sampled and getattr(report, attribute) > SPOILT * report.sampled
        ]
        complain(
            Severity.WARNING,
            spoilt,
            f"in {len(spoilt)} episodes most frames are {what}",
            "Look at the camera's exposure and at what covers it.",
        )
    sizes = sorted({report.size for report in reports.values() if report.sampled})
    if len(sizes) > 1:
        named = ", ".join(f"{width}x{height}" for width, height in sizes)
        flags.append(
            Flag(
                "pictures",
                Severity.NOTE,
                (),
                f"camera {camera}: pictures of several sizes: {named}",
                "All are squashed to the policy's size; look whether they are of the same camera.",
            )
        )
    return flags
