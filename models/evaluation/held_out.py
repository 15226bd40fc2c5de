"""Episodes that policies are to be judged by: none that they were trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..data.configuration import SourceConfig
from ..data.episode import Episode
from ..data.mark import mark
from ..data.sources import open_source
from ..errors import DataError
from ..policy_directory import trained_on


@dataclass(frozen=True)
class HeldOut:
    """What a source holds that is new to policies.

    Attributes:
        path: of the source.
        episodes: that none of them was trained on.
        left_out: how many one of them was trained on.
        unsure: policies whose training does not say what it saw.
    """

    path: Path
    episodes: tuple[Episode, ...]
    left_out: int
    unsure: tuple[Path, ...]

    @property
    def text(self) -> str:
        """In words, for people who judge the figures."""
        said = f"{len(self.episodes)} episodes of {self.path}"
        if self.left_out:
            said += f", without {self.left_out} that were trained on"
        if self.unsure:
            said += f"; whether {', '.join(map(str, self.unsure))} saw them in training is not known"
        return said


def read_held_out(source: SourceConfig, policies: Sequence[Path]) -> HeldOut:
    """List the episodes of a source without those that one of the policies was trained on.

    Raises:
        DataError: the source cannot be read, or nothing is left of it.
        PolicyDirectoryError: a policy's training.json cannot be read.
    """
    episodes = open_source(source)
    known = {policy: trained_on(policy) for policy in policies}
    seen = frozenset().union(*(marks for marks in known.values() if marks is not None))
    new = tuple(episode for episode in episodes if mark(episode) not in seen)
    if not new:
        raise DataError(f"{source.path}: every one of its {len(episodes)} episodes was trained on; give others")
    unsure = tuple(policy for policy, marks in known.items() if marks is None)
    return HeldOut(source.path, new, len(episodes) - len(new), unsure)
