"""Whether red and blue were exchanged, as far as pictures can tell.

Three kinds of evidence, from strong to weak:

- Named colours. A robot that goes to what a sentence names has its colour before it in the last frame. With red and
  blue exchanged another hue is there (hue h is shown as 240 degrees - h). Each episode votes; what is in the background
  all the time is subtracted, and green to purple, which look nearly the same both ways, have no vote.
- The same scene twice. Green channels do not depend on the order, so they find frames of one scene in two recordings;
  where the other channels agree only crosswise, one of the two is exchanged. Which one, they do not say.
- What most scenes look like. Floors, wood, skin and lamp light are rather warm than cold. A set whose lower halves
  are cold nearly throughout is suspected, no more: a blue carpet looks just so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from ..episode import Episode
from .flags import Flag, Severity
from .neighbours import near_pairs
from .pictures import Sketch
from .statistics import chance
from .words import colour_in

# Hues (degrees) that go by a name.
_HUES = {
    "red": (335, 375),
    "orange": (12, 42),
    "yellow": (42, 72),
    "cyan": (165, 200),
    "blue": (200, 265),
}
PRESENT = 0.01  # of the picture: smaller differences have no vote
VOTES = 10  # less prove nothing
CLEAR, CLEAR_CHANCE = 0.8, 1e-3  # share of the votes, and its chance by coin
MINORITY = 0.2  # of the votes: from here on, no accident of single drives

SCENE = 4.0  # grey levels, root mean square of green: the same scene
TINTED = 6.0  # grey levels between red and blue, mean: enough to tell the order
CROSSWISE = 0.5  # of the difference in the given order
PAIRS = 3  # of recordings

COLD_EPISODE, COLD_SET, JUDGED = 0.1, 0.9, 10  # warm share of an episode; share of such episodes; least number


class Order(str, Enum):
    """What the evidence says."""

    RGB = "RGB"
    BGR = "BGR"
    MIXED = "mixed"
    SUSPECTED_BGR = "suspected BGR"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class ColourOrder:
    """The evidence of one camera.

    Attributes:
        order: the verdict.
        confidence: 1 - the chance of as clear a vote; None for a verdict not by vote.
        votes_rgb, votes_bgr: sources whose named colour is there at the end in this reading.
        same_pairs, crosswise_pairs: frames of one scene in two recordings that agree, and that agree crosswise.
        cold_episodes, judged_episodes: those with a cold lower half, of those with some colour there.
    """

    order: Order
    confidence: float | None
    votes_rgb: tuple[str, ...]
    votes_bgr: tuple[str, ...]
    same_pairs: int
    crosswise_pairs: tuple[tuple[str, str], ...]
    cold_episodes: int
    judged_episodes: int


def judge_order(episodes: Sequence[Episode], sketches: Mapping[str, Sketch]) -> ColourOrder:
    """Weigh the evidence of one camera; `sketches` by source."""
    # An episode that is broken off need not have arrived; where a set has no ends, all are asked.
    ended = [episode for episode in episodes if episode.done_since < episode.end]
    votes = {episode.source: _vote(episode, sketches) for episode in ended}
    if sum(map(abs, votes.values())) < VOTES:
        votes = {episode.source: _vote(episode, sketches) for episode in episodes}
    rgb = tuple(source for source, vote in votes.items() if vote > 0)
    bgr = tuple(source for source, vote in votes.items() if vote < 0)
    same, crosswise = _scene_pairs(episodes, sketches)
    warms = [sketch.warm for sketch in sketches.values() if np.isfinite(sketch.warm)]
    cold = sum(warm < COLD_EPISODE for warm in warms)
    count, minority = len(rgb) + len(bgr), min(len(rgb), len(bgr))
    luck = chance(max(len(rgb), len(bgr)), count) if count else 1.0
    confidence = None
    if len(crosswise) >= PAIRS or (count >= 2 * VOTES and minority >= MINORITY * count):
        order = Order.MIXED
    elif count >= VOTES and count - minority >= CLEAR * count and luck < CLEAR_CHANCE:
        order, confidence = (Order.RGB if len(rgb) > len(bgr) else Order.BGR), 1 - luck
    elif len(warms) >= JUDGED and cold >= COLD_SET * len(warms):
        order = Order.SUSPECTED_BGR
    else:
        order = Order.UNKNOWN
    return ColourOrder(order, confidence, rgb, bgr, same, crosswise, cold, len(warms))


def colour_flags(camera: str, evidence: ColourOrder) -> list[Flag]:
    """Complaints about one camera."""
    rgb, bgr = len(evidence.votes_rgb), len(evidence.votes_bgr)
    name = f"camera {camera}: "
    remedy = (
        "Say the order in the source's configuration (encoding: bgr8 for rosbag2, color: bgr for hdf5 and lerobot), "
        "and look at the example frames."
    )
    if evidence.order is Order.BGR:
        found = (
            f"the colours are BGR read as RGB: in {bgr} of {rgb + bgr} episodes whose sentence names a colour, that "
            "colour is there at the end only with red and blue exchanged"
        )
        return [Flag("colour order", Severity.ERROR, (), name + found, remedy)]
    if evidence.order is Order.MIXED and len(evidence.crosswise_pairs) >= PAIRS:
        found = (
            f"the set mixes RGB and BGR: {len(evidence.crosswise_pairs)} pairs of frames show one scene with red and "
            f"blue exchanged ({evidence.same_pairs} pairs agree)"
        )
        sources = sorted({source for pair in evidence.crosswise_pairs for source in pair})
        return [Flag("colour order", Severity.ERROR, tuple(sources), name + found, remedy)]
    if evidence.order is Order.MIXED:
        found = (
            f"of {rgb + bgr} episodes whose sentence names a colour, {rgb} show it at the end as it is, {bgr} "
            "only with red and blue exchanged: the set mixes RGB and BGR, or the robot does not go to what is named"
        )
        return [Flag("colour order", Severity.WARNING, evidence.votes_bgr, name + found, remedy)]
    if evidence.order is Order.SUSPECTED_BGR:
        found = (
            f"in {evidence.cold_episodes} of {evidence.judged_episodes} episodes nearly all tinted pixels of the lower "
            "half are bluish: BGR read as RGB is suspected, though a blue floor looks the same"
        )
        return [Flag("colour order", Severity.WARNING, (), name + found, "Look at the example frames.")]
    return []


def _vote(episode: Episode, sketches: Mapping[str, Sketch]) -> int:
    """1 if the named colour is there at the end as it is, -1 with red and blue exchanged, 0 for neither."""
    colour, sketch = colour_in(episode.instruction), sketches.get(episode.source)
    if sketch is None or colour not in _HUES:
        return 0
    low, high = _HUES[colour]
    difference = _within(sketch.arrived, low, high) - _within(sketch.arrived, 240 - high, 240 - low)
    return int(np.sign(difference)) if abs(difference) >= PRESENT else 0


def _within(hues: NDArray[np.float32], low: int, high: int) -> float:
    return float(hues[np.arange(low // 2, high // 2) % 180].sum())


def _scene_pairs(
    episodes: Sequence[Episode], sketches: Mapping[str, Sketch]
) -> tuple[int, tuple[tuple[str, str], ...]]:
    """Pairs of frames of the same scene in two recordings: those that agree, and those that agree crosswise."""
    owners, frames = [], []
    for episode in episodes:
        if episode.source in sketches:
            for small in sketches[episode.source].small.astype(np.float32):
                if np.abs(small[..., 0] - small[..., 2]).mean() > TINTED:
                    owners.append(episode)
                    frames.append(small)
    if not frames:
        return 0, ()
    pictures = np.stack(frames)
    same, crosswise = 0, set()
    for row, near in near_pairs(pictures[..., 1].reshape(len(pictures), -1), SCENE):
        straight = np.abs(pictures[near] - pictures[row]).mean(axis=(1, 2, 3))
        crossed = np.abs(pictures[near] - pictures[row][..., ::-1]).mean(axis=(1, 2, 3))
        for other, as_is, exchanged in zip(near, straight, crossed, strict=True):
            if owners[other].recording == owners[row].recording:
                continue
            if exchanged < CROSSWISE * as_is:
                crosswise.add((owners[row].source, owners[int(other)].source))
            elif as_is < CROSSWISE * exchanged:
                same += 1
    return same, tuple(sorted(crosswise))
