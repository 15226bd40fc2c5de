"""Episodes as a LeRobot dataset, v2.1 or v3.0.

A row for each picture of the first camera: `observation.images.<camera>`, of other cameras the nearest picture;
`action`, the command that answers it; `observation.state`, the newest measured velocity. LeRobot's clock is
frame / fps. The true times stand beside, in features `stamp.*` and `received.*` (seconds since the episode's begin:
what LeRobot hands out is float32), and commands and measurements as they were in `signals/`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ...errors import DataError
from ..configuration import LeRobotSource, LeRobotTarget, StoredSignal
from ..episode import Episode, Signal
from ..instants import since
from ..opened import Closable
from ..rows import answering, measured, nearest
from ..writer import Advance, Signals
from .features import of_camera, of_column
from .layout import (
    DATA,
    DATA_MEGABYTES,
    EPISODES,
    EPISODES_STATS,
    FILES_PER_CHUNK,
    INFO,
    STATS,
    VIDEO,
    VIDEO_MEGABYTES,
    times_of,
)
from .stats import Stats, of_all, of_numbers
from .write_pictures import CameraWriter
from .write_tables import RowWriter, SignalWriter, write_episodes, write_lines, write_tasks

IMAGE, ACTION, STATE = "observation.images.{camera}", "action", "observation.state"
Columns = dict[str, NDArray[np.generic]]


class LeRobotWriter:
    """Writes into a new folder; every episode must have the same cameras, sizes and signals."""

    def __init__(self, folder: Path, target: LeRobotTarget) -> None:
        (folder / "meta").mkdir(parents=True)
        self._root = folder
        self._target = target
        self._features: dict[str, dict[str, Any]] = {}
        self._tasks: dict[str, int] = {}
        self._abouts: list[dict[str, Any]] = []
        self._stats: list[Stats] = []
        self._numbers: dict[str, list[NDArray[np.generic]]] = {}
        self._rows = RowWriter(folder, target.version)
        self._cameras: dict[str, CameraWriter] = {}
        self._signals: dict[str, SignalWriter] = {}

    def add(self, episode: Episode, advance: Advance) -> None:
        """Write one episode; `advance` is called for each picture."""
        signals = {ACTION: episode.actions} | ({STATE: episode.odometry} if episode.odometry is not None else {})
        rows = _rows(episode)
        columns = self._columns(episode, signals, rows)
        stats = {key: of_numbers(values) for key, values in columns.items()}
        names = {key: signal.names for key, signal in signals.items()}
        features = {key: of_column(values, names.get(key)) for key, values in columns.items()}
        about = self._about(episode, len(columns[ACTION]))
        cells: dict[str, pa.Array] = {}
        for camera, pictures in episode.cameras.items():
            key = IMAGE.format(camera=camera)
            writer = self._cameras.setdefault(key, CameraWriter(self._root, key, self._target))
            written = writer.add(episode.source, pictures, rows[camera], advance)
            stats[key], features[key] = written.counts.stats(), of_camera(written.size, self._target)
            about |= written.about
            cells |= {} if written.cells is None else {key: written.cells}
        self._agree(episode.source, features)
        about |= self._rows.add(columns, cells)
        for key, signal in signals.items():
            self._signals.setdefault(key, SignalWriter(self._root, key)).add(len(self._abouts), signal)
        for key, values in columns.items():
            self._numbers.setdefault(key, []).append(values)
        self._abouts.append(about)
        self._stats.append(stats)

    def close(self) -> None:
        """Finish the files and write what says what is in them."""
        files: list[Closable] = [self._rows, *self._cameras.values(), *self._signals.values()]
        for file in files:
            file.close()
        stats = {key: of_all(parts) for key, parts in self._numbers.items()}
        stats |= {key: camera.counts.stats() for key, camera in self._cameras.items()}
        self._write_json(INFO, self._info())
        self._write_json(STATS, stats)
        write_tasks(self._root, self._target.version, list(self._tasks))
        if self._target.version == "v3.0":
            write_episodes(self._root, self._abouts, self._stats)
            return
        write_lines(self._root / EPISODES["v2.1"], self._abouts)
        lines = [{"episode_index": number, "stats": found} for number, found in enumerate(self._stats)]
        write_lines(self._root / EPISODES_STATS, lines)

    def source(self, path: Path, cameras: tuple[str, ...], signals: Signals) -> LeRobotSource:
        """The configuration that reads it all back from `path`."""
        return LeRobotSource(
            type="lerobot",
            path=path,
            cameras={camera: IMAGE.format(camera=camera) for camera in cameras},
            actions=StoredSignal(key=ACTION, columns=signals.actions),
            odometry=None if signals.odometry is None else StoredSignal(key=STATE, columns=signals.odometry),
            stamps="recorded",
        )

    def _columns(self, episode: Episode, signals: dict[str, Signal], rows: dict[str, NDArray[np.int64]]) -> Columns:
        stamps = next(iter(episode.cameras.values())).stamps
        columns: Columns = {ACTION: episode.actions.values[answering(episode.actions, stamps)]}
        if STATE in signals:
            columns[STATE] = signals[STATE].values[measured(signals[STATE], stamps)]
        for camera, pictures in episode.cameras.items():
            stamp, received = times_of(IMAGE.format(camera=camera))
            columns[stamp] = since(episode.begin, pictures.stamps[rows[camera]])
            if pictures.received is not None:
                columns[received] = since(episode.begin, pictures.received[rows[camera]])
        count = len(stamps)
        columns["timestamp"] = (np.arange(count) / self._target.fps).astype(np.float32)
        columns["frame_index"] = np.arange(count)
        columns["episode_index"] = np.full(count, len(self._abouts))
        columns["index"] = self._rows.rows + np.arange(count)
        columns["task_index"] = np.full(count, self._tasks.setdefault(episode.instruction, len(self._tasks)))
        return columns

    def _about(self, episode: Episode, length: int) -> dict[str, Any]:
        about = {"episode_index": len(self._abouts), "tasks": [episode.instruction], "length": length}
        return about | {"source": episode.source, "begin": episode.begin, "end": episode.end}

    def _agree(self, source: str, features: dict[str, dict[str, Any]]) -> None:
        """All rows of a dataset are of one kind."""
        known = self._features = self._features or features
        if features != known:
            keys = sorted(key for key in {*features, *known} if features.get(key) != known.get(key))
            differing = "; ".join(f"{key} is {features.get(key)} after {known.get(key)}" for key in keys)
            raise DataError(f"{source} cannot be in one dataset with those before it: {differing}")

    def _info(self) -> dict[str, Any]:
        version, count = self._target.version, len(self._abouts)
        videos = [key for key, feature in self._features.items() if feature["dtype"] == "video"]
        info: dict[str, Any] = {
            "codebase_version": version,
            "robot_type": None,
            "total_episodes": count,
            "total_frames": self._rows.rows,
            "total_tasks": len(self._tasks),
            "chunks_size": FILES_PER_CHUNK,
            "fps": self._target.fps,
            "splits": {"train": f"0:{count}"},
            "data_path": DATA[version],
            "video_path": VIDEO[version] if videos else None,
            "features": self._features,
        }
        if version == "v2.1":
            return info | {"total_videos": count * len(videos), "total_chunks": -(-count // FILES_PER_CHUNK)}
        return info | {"data_files_size_in_mb": DATA_MEGABYTES, "video_files_size_in_mb": VIDEO_MEGABYTES}

    def _write_json(self, name: str, content: object) -> None:
        (self._root / name).write_text(json.dumps(content, indent=4, ensure_ascii=False), encoding="utf-8")


def _rows(episode: Episode) -> dict[str, NDArray[np.int64]]:
    """Of each camera the picture that stands in each row."""
    first, *others = episode.cameras
    stamps = episode.cameras[first].stamps
    rows = {camera: nearest(episode.cameras[camera].stamps, stamps) for camera in others}
    return {first: np.arange(len(stamps)), **rows}
