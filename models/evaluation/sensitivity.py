"""Do the words decide? The same frames under other words: how much the answers change, and which way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..data.audit.words import side_in
from .figures import Ratio
from .reference import Reference
from .replay import Replay

SIDES = {"left": 1.0, "right": -1.0}  # signs of angular_z (REP-103)


@dataclass(frozen=True)
class Change:
    """Sums over the frames of an episode under other words.

    Attributes:
        absolute: (k,), of |answer under the other words - answer under its own|, over the whole chunk.
        spread: (k,), the same between the answers to two frames of the episode drawn at random, under its own words.
        error, own_error: (k,), of |answer - recorded command|, under the other words and under its own.
        rows, known: how many rows of chunks were counted for the first two, and for the errors.
        to_side: (frames in which angular_z changes to the side that only the other words name, frames); zero where
            they name none.
        said, own: the sentences.
    """

    absolute: NDArray[np.float64]
    spread: NDArray[np.float64]
    error: NDArray[np.float64]
    own_error: NDArray[np.float64]
    rows: float
    known: float
    to_side: tuple[float, float]
    said: str
    own: str


@dataclass(frozen=True)
class Sensitivity:
    """Over all episodes; each ratio in the unit of its action.

    Attributes:
        changed: mean change of the answers by action.
        spread: how far apart answers to frames of one episode are: what the pictures decide.
        error, own_error: mean absolute errors against the commands recorded under the original words.
        to_side: share of frames whose turn changes to the side that only the other words name; None without such.
        episodes: how many there were other words for.
        example: own and other words of one.
    """

    changed: dict[str, Ratio]
    spread: dict[str, Ratio]
    error: dict[str, Ratio]
    own_error: dict[str, Ratio]
    to_side: Ratio | None
    episodes: int
    example: tuple[str, str]


def measure_change(
    own: Replay,
    other: Replay,
    reference: Reference,
    names: Sequence[str],
    words: tuple[str, str],
    rng: np.random.Generator,
) -> Change:
    """Hold the answers under `words[1]` against those under `words[0]`, the episode's own."""
    difference = other.continuous.astype(np.float64) - own.continuous
    mixed = own.continuous[rng.permutation(len(own.continuous))].astype(np.float64)
    known = reference.known[..., None]
    errors = [np.where(known, np.abs(one.continuous - reference.continuous), 0.0) for one in (other, own)]
    sides = [side_in(sentence) for sentence in words]
    to_side = (0.0, 0.0)
    if "angular_z" in names and sides[1] is not None and sides[0] != sides[1]:
        turn = difference[:, 0, names.index("angular_z")] * SIDES[sides[1]]
        to_side = (float((turn > 0.0).sum()), float(len(turn)))
    return Change(
        absolute=np.abs(difference).sum(axis=(0, 1)),
        spread=np.abs(mixed - own.continuous).sum(axis=(0, 1)),
        error=errors[0].sum(axis=(0, 1)),
        own_error=errors[1].sum(axis=(0, 1)),
        rows=float(np.prod(difference.shape[:2])),
        known=float(reference.known.sum()),
        to_side=to_side,
        said=words[1],
        own=words[0],
    )


def summarize(changes: Sequence[Change | None], names: Sequence[str]) -> Sensitivity | None:
    """Over all episodes, those without other words (None) among them; None if there is none with."""
    present = [change for change in changes if change is not None]
    if not present:
        return None

    def ratios(attribute: str, weight: str) -> dict[str, Ratio]:
        weights = np.array([0.0 if change is None else getattr(change, weight) for change in changes])
        return {
            name: Ratio(
                np.array([0.0 if change is None else getattr(change, attribute)[row] for change in changes]), weights
            )
            for row, name in enumerate(names)
        }

    sides = np.array([(0.0, 0.0) if change is None else change.to_side for change in changes])
    return Sensitivity(
        changed=ratios("absolute", "rows"),
        spread=ratios("spread", "rows"),
        error=ratios("error", "known"),
        own_error=ratios("own_error", "known"),
        to_side=Ratio(sides[:, 0], sides[:, 1]) if sides[:, 1].any() else None,
        episodes=len(present),
        example=(present[0].own, present[0].said),
    )
