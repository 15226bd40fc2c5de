"""Any source of episodes, opened."""

from __future__ import annotations

from collections import Counter

from ..errors import DataError
from .configuration import Hdf5Source, Rosbag2Source, SourceConfig
from .episode import Episode
from .hdf5.read import open_hdf5
from .lerobot.read import open_lerobot
from .recording import Recording
from .rosbag2.read import open_rosbag2


def open_source(config: SourceConfig) -> list[Episode]:
    """List the episodes of a source; no picture is decoded before it is asked for.

    Raises:
        DataError: missing, malformed or not what the configuration says; file, thing, value and what was expected.
    """
    return open_recordings(config)[0]


def open_recordings(config: SourceConfig) -> tuple[list[Episode], list[Recording]]:
    """List the episodes of a source as `open_source` does, and the recordings that may hold more than them.

    Only rosbag2 recordings do: other formats hold episodes alone, and no recordings are listed.
    """
    recordings: list[Recording] = []
    if isinstance(config, Rosbag2Source):
        episodes, recordings = open_rosbag2(config)
    elif isinstance(config, Hdf5Source):
        episodes = open_hdf5(config)
    else:
        episodes = open_lerobot(config)
    if not episodes:
        raise DataError(f"{config.path} holds no episode: nothing with an instruction, two frames and two commands")
    twice = [source for source, count in Counter(episode.source for episode in episodes).items() if count > 1]
    if twice:
        raise DataError(f"{config.path} holds the episode {twice[0]} twice, {len(twice)} such in all")
    return episodes, recordings
