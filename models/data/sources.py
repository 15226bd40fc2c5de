"""Any source of episodes, opened."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from rich.console import Console

from ..errors import DataError
from .configuration import Hdf5Source, Rosbag2Source, SourceConfig
from .episode import Episode
from .hdf5.read import open_hdf5
from .left_out import LostEpisode, without_lost
from .lerobot.read import open_lerobot
from .recording import Recording
from .rosbag2.read import open_rosbag2


@dataclass(frozen=True)
class Listing:
    """What a source holds.

    Attributes:
        episodes: Episodes without the frames that cannot be used; `Episode.left_out` counts those.
        lost: Episodes that were left out, because a camera has no frames that can be used.
        recordings: Recordings that may hold more than their episodes; only rosbag2 recordings do.
    """

    episodes: list[Episode]
    lost: tuple[LostEpisode, ...]
    recordings: tuple[Recording, ...]


def open_source(config: SourceConfig) -> list[Episode]:
    """List the episodes of a source, and print which were left out.

    Raises:
        DataError: See `list_source`.
    """
    found = list_source(config)
    for lost in found.lost:
        Console(stderr=True).print(lost.text, style="yellow", markup=False, highlight=False)
    return found.episodes


def list_source(config: SourceConfig) -> Listing:
    """List the episodes of a source; no picture is decoded in full before it is asked for.

    Frames that cannot be used are left out: their headers are checked, JPEG data are read, checksums of PNG compared.

    Raises:
        DataError: missing, malformed or not what the configuration says; file, thing, value and what was expected.
    """
    recordings: list[Recording] = []
    if isinstance(config, Rosbag2Source):
        episodes, recordings = open_rosbag2(config)
    elif isinstance(config, Hdf5Source):
        episodes = open_hdf5(config)
    else:
        episodes = open_lerobot(config)
    episodes, lost = without_lost(episodes)
    if lost and not episodes:
        raise DataError(f"{config.path} holds no episode that can be used: {lost[0].text}")
    if not episodes:
        raise DataError(f"{config.path} holds no episode: nothing with an instruction, two frames and two commands")
    twice = [source for source, count in Counter(episode.source for episode in episodes).items() if count > 1]
    if twice:
        raise DataError(f"{config.path} holds the episode {twice[0]} twice, {len(twice)} such in all")
    return Listing(episodes, tuple(lost), tuple(recordings))
