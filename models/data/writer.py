"""What every format's writer offers."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from .configuration import Column, SourceConfig
from .episode import Episode, Signal

Advance = Callable[[int], None]


@dataclass(frozen=True)
class Signals:
    """What the columns of the written signals are."""

    actions: tuple[Column, ...]
    odometry: tuple[Column, ...] | None

    @classmethod
    def of(cls, episode: Episode) -> Signals:
        """As an episode has them."""
        odometry = None if episode.odometry is None else _columns(episode.odometry)
        return cls(_columns(episode.actions), odometry)


class EpisodeWriter(Protocol):
    """Writes episodes into a folder that it makes."""

    def add(self, episode: Episode, advance: Advance) -> None:
        """Write one episode; `advance` is called with the number of pictures written since."""

    def close(self) -> None:
        """Write what is left: before this the folder is not complete."""

    def source(self, path: Path, cameras: tuple[str, ...], signals: Signals) -> SourceConfig:
        """The configuration that reads it all back, once the folder is at `path`."""


def file_name(source: str) -> str:
    """A source's name as that of a file."""
    return re.sub(r"[^\w.-]", "_", source)


def _columns(signal: Signal) -> tuple[Column, ...]:
    units = {"linear": "m/s", "angular": "rad/s"}
    return tuple(Column(name=name, unit=units.get(name.split("_")[0], "1"), scale=1.0) for name in signal.names)
