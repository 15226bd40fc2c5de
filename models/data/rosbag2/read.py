"""Episodes of recordings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from rich.progress import track

from ...errors import DataError
from ..configuration import Rosbag2Source
from ..episode import Episode, Signal
from ..instants import seconds
from ..left_out import LEAST
from ..recording import Recording
from .find import find_bags
from .pictures import BagPictures
from .reader import use_bag
from .sentences import Given, given
from .streams import ODOMETRY, Ordered, Streams, gather


def open_rosbag2(config: Rosbag2Source) -> tuple[list[Episode], list[Recording]]:
    """Episodes of the recordings at a path, bag by bag, and the recordings themselves.

    An instruction that was superseded before two frames of each camera and two commands makes no episode. Frames that
    cannot be used are counted, also where that leaves an episode none.

    Raises:
        DataError: no recording, a topic that is missing, empty or of another type, a command that the configured
            actions cannot hold or that is not finite, stamps that are none.
    """
    bags = find_bags(config.path)
    listed = track(bags, description="listing bags", disable=len(bags) == 1)
    episodes: list[Episode] = []
    recordings: list[Recording] = []
    for bag in listed:
        found, recording = _read(bag, config)
        episodes += found
        recordings.append(recording)
    return episodes, recordings


def _read(path: Path, config: Rosbag2Source) -> tuple[list[Episode], Recording]:
    with use_bag(path) as bag:
        streams = gather(path, bag, config)
        parts = given(path, config, streams, bag.custom_data)
    episodes = [episode for part in parts if part.sentence for episode in _episode(path, config, streams, part)]
    images = sum(map(len, streams.cameras.values()))
    inside = sum(len(pictures.stamps) for episode in episodes for pictures in episode.cameras.values())
    name = parts[0].source.split("#")[0] if parts else path.stem
    return episodes, Recording(name, images, images - inside, tuple(part.stop for part in parts if part.stop))


def _episode(path: Path, config: Rosbag2Source, streams: Streams, part: Given) -> Iterator[Episode]:
    """The episode of a sentence, if there is something to learn from."""
    seen = {name: camera.between(part.begin, part.end) for name, camera in streams.cameras.items()}
    heard = streams.commands.between(part.begin, part.end)
    left_out = {
        name: Counter(reason for _, stamp, reason in refused if part.begin <= stamp < part.end)
        for name, refused in streams.refused.items()
    }
    if min(len(heard), *(len(camera) + left_out[name].total() for name, camera in seen.items())) < LEAST:
        return
    cameras = {
        name: BagPictures(path, camera.topic, camera.stamps, camera.received, camera.headers, config.rules)
        for name, camera in seen.items()
    }
    odometry = None
    if streams.odometry is not None:
        odometry = _signal(path, ODOMETRY, streams.odometry.between(part.begin, part.end))
    begin, end = seconds(np.array([part.begin, part.end], dtype=np.int64)).tolist()
    actions = _signal(path, config.actions, heard)
    yield Episode(part.source, part.sentence, cameras, actions, odometry, begin, end, left_out, part.repeats)


def _signal(path: Path, names: tuple[str, ...], found: Ordered) -> Signal:
    try:
        return Signal(names, seconds(found.stamps), found.values, seconds(found.received))
    except DataError as error:
        raise DataError(f"{path}: {found.topic}: {error}") from error
