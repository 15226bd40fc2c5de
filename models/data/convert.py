"""Episodes of one format written in another: all of them, or nothing."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
import yaml
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..errors import DataError
from .configuration import Hdf5Target, Rosbag2Target, SourceConfig, TargetConfig
from .episode import Episode
from .hdf5.write import Hdf5Writer
from .left_out import LeftOut, LostEpisode, count_left_out
from .lerobot.write import LeRobotWriter
from .rosbag2.write import Rosbag2Writer
from .rows import nearest
from .sources import list_source
from .writer import EpisodeWriter, Signals, file_name

SOURCE_FILE = "source.yaml"


@dataclass(frozen=True)
class ConversionSummary:
    """What was written.

    Attributes:
        source: the configuration that reads it back; also beside the data, in `source.yaml`.
        episodes: how many.
        pictures: how many, of all cameras.
        left_out: pictures by camera that no row holds, because the first camera had none near them.
        unusable: Frames that cannot be used, by camera; they are not among the pictures.
        lost: Episodes that are not written, because a camera has no frames that can be used.
        bytes: on disk.
        seconds: that it took.
    """

    source: SourceConfig
    episodes: int
    pictures: int
    left_out: dict[str, int]
    unusable: dict[str, LeftOut]
    lost: tuple[LostEpisode, ...]
    bytes: int
    seconds: float


def convert_data(source: SourceConfig, target: TargetConfig, out: Path) -> ConversionSummary:
    """Write every episode of a source in another format.

    The folder appears under its name when it is complete; after a failure there is none.

    Args:
        source: what to read.
        target: the format.
        out: folder, not there yet.

    Raises:
        DataError: `out` is there, the source cannot be read, or the format cannot hold it.
    """
    if out.exists():
        raise DataError(f"{out} is already there, expected a new folder")
    started = perf_counter()
    found = list_source(source)
    episodes = found.episodes
    _check(episodes)
    cameras, signals = tuple(episodes[0].cameras), Signals.of(episodes[0])
    out.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        folder = staging / out.name
        writer = _writer(target, folder)
        pictures = _write(writer, episodes, f"writing {target.type}")
        back = writer.source(out, cameras, signals)
        document = back.model_dump(mode="json")
        (folder / SOURCE_FILE).write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), "utf-8")
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        folder.rename(out)
    finally:
        shutil.rmtree(staging)
    left_out = _left_out(episodes) if target.type == "lerobot" else {}
    unusable, seconds = count_left_out(episodes), perf_counter() - started
    return ConversionSummary(back, len(episodes), pictures, left_out, unusable, found.lost, size, seconds)


def _writer(target: TargetConfig, folder: Path) -> EpisodeWriter:
    if isinstance(target, Rosbag2Target):
        return Rosbag2Writer(folder, target)
    return Hdf5Writer(folder, target) if isinstance(target, Hdf5Target) else LeRobotWriter(folder, target)


def _write(writer: EpisodeWriter, episodes: list[Episode], description: str) -> int:
    total = sum(len(pictures.stamps) for episode in episodes for pictures in episode.cameras.values())
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    written = 0
    with Progress(*columns) as progress:
        bar = progress.add_task(description, total=total)

        def advance(count: int) -> None:
            nonlocal written
            written += count
            progress.advance(bar, count)

        for episode in episodes:
            writer.add(episode, advance)
        writer.close()
    return written


def _check(episodes: list[Episode]) -> None:
    """What no format can hold."""
    first = episodes[0]
    for episode in episodes:
        if tuple(episode.cameras) != tuple(first.cameras) or Signals.of(episode) != Signals.of(first):
            raise DataError(f"{episode.source} has other cameras or signals than {first.source}")
        empty = [name for name, pictures in episode.cameras.items() if len(pictures.stamps) == 0]
        signals = [episode.actions] if episode.odometry is None else [episode.actions, episode.odometry]
        if empty or any(len(signal) == 0 for signal in signals):
            what = f"picture of {empty[0]}" if empty else "command" if len(episode.actions) == 0 else "odometry"
            raise DataError(f"{episode.source} holds no {what}")
    name, count = Counter(file_name(episode.source) for episode in episodes).most_common(1)[0]
    if count > 1:
        raise DataError(f"{count} episodes would be written as {name}")


def _left_out(episodes: list[Episode]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for episode in episodes:
        first, *others = episode.cameras
        for camera in others:
            stamps = episode.cameras[camera].stamps
            rows = nearest(stamps, episode.cameras[first].stamps)
            counts[camera] += len(stamps) - len(np.unique(rows))
    return {camera: count for camera, count in counts.items() if count}
