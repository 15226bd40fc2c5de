"""Episodes of a LeRobot dataset: tables are read, and pictures in them checked; videos are not opened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from rich.progress import track

from ...errors import DataError
from ..columns import check_names, signal
from ..configuration import LeRobotSource, StoredSignal
from ..episode import Episode, Pictures, Signal, check_stamps
from ..instants import after, nanoseconds, seconds
from .layout import Feature, read_info, times_of
from .pictures import TablePictures, VideoPictures
from .tables import numbers, read_episodes, read_signal, read_table, read_tasks

_INDEX = ("episode_index", "frame_index", "task_index")


def open_lerobot(config: LeRobotSource) -> list[Episode]:
    """Episodes of a dataset; one whose task changes on the way is several.

    With true times a camera's frame that stands in several rows is one. Frames in the tables that cannot be used are
    left out and counted.

    Raises:
        DataError: no LeRobot dataset, another version, a feature that is missing or of another shape.
    """
    return list(_Listing(config).episodes())


@dataclass(frozen=True)
class _Rows:
    """Consecutive rows of one episode under one task."""

    path: Path
    table: pa.Table
    first: int  # of them in the file
    about: dict[str, Any]
    number: int  # of the part in its episode

    @property
    def index(self) -> int:
        return int(self.about["episode_index"])


class _Listing:
    def __init__(self, config: LeRobotSource) -> None:
        self._config = config
        self._root = config.path
        self._info = read_info(config.path)
        self._cameras = {name: self._camera(key) for name, key in config.cameras.items()}
        for stored in (config.actions, config.odometry):
            if stored is not None:
                self._check(stored)
        self._tasks = read_tasks(self._root, self._info.codebase_version)
        first = {sentence: index for index, sentence in reversed(self._tasks.items())}
        self._same = {index: first[sentence] for index, sentence in self._tasks.items()}  # one index for each sentence
        self._recorded: dict[str, tuple[Path, dict[int, pa.Table]]] = {}
        if config.stamps == "recorded":
            self._recorded = {stored.key: read_signal(self._root, stored.key) for stored in self._signals()}

    def episodes(self) -> Iterator[Episode]:
        """All of them."""
        for path, abouts in track(self._files(), description="listing tables"):
            table = read_table(path, self._columns())
            found = np.asarray(table.column("episode_index").to_numpy())
            for about in abouts:
                rows = np.flatnonzero(found == about["episode_index"])
                if len(rows) == 0 or rows[-1] - rows[0] + 1 != len(rows) or len(rows) != about.get("length", len(rows)):
                    raise DataError(
                        f"{path}: episode {about['episode_index']} has {len(rows)} rows, expected "
                        f"{about.get('length', 'some')}, one after the other"
                    )
                yield from self._parts(path, table, rows, about)

    def _signals(self) -> list[StoredSignal]:
        return [stored for stored in (self._config.actions, self._config.odometry) if stored is not None]

    def _columns(self) -> list[str]:
        columns = [*_INDEX, *(stored.key for stored in self._signals())]
        if self._config.stamps == "recorded":
            for key in self._config.cameras.values():
                stamp, received = times_of(key)
                columns += [stamp, received] if received in self._info.features else [stamp]
        return columns

    def _feature(self, key: str) -> Feature:
        if key not in self._info.features:
            raise DataError(f"{self._root}: no feature {key!r} among {', '.join(self._info.features)}")
        return self._info.features[key]

    def _camera(self, key: str) -> str:
        """How a camera's pictures are stored."""
        feature = self._feature(key)
        if feature.dtype not in ("video", "image"):
            raise DataError(f"{self._root}: feature {key!r} is {feature.dtype}, expected video or image")
        if feature.dtype == "video" and self._info.video_path is None:
            raise DataError(f"{self._root}: feature {key!r} is a video, but info.json names no video_path")
        return feature.dtype

    def _check(self, stored: StoredSignal) -> None:
        feature = self._feature(stored.key)
        where = f"{self._root}: feature {stored.key!r}"
        if feature.shape != (len(stored.columns),):
            raise DataError(f"{where} has shape {feature.shape}, expected ({len(stored.columns)},): {stored.names}")
        # Some datasets group the names: {"motors": [...]}.
        names = feature.names
        if isinstance(names, dict) and len(names) == 1:
            names = next(iter(names.values()))
        if isinstance(names, list):
            check_names(where, stored, [str(name) for name in names])

    def _files(self) -> list[tuple[Path, list[dict[str, Any]]]]:
        """Tables with the episodes that lie in them."""
        files: dict[Path, list[dict[str, Any]]] = {}
        for about in read_episodes(self._root, self._info.codebase_version):
            files.setdefault(self._path(self._info.data_path, "data", about), []).append(about)
        return list(files.items())

    def _path(self, pattern: str, place: str, about: dict[str, Any], **keys: str) -> Path:
        index = int(about["episode_index"])
        try:
            if self._info.codebase_version == "v2.1":
                keys_of_file = {"episode_chunk": index // self._info.chunks_size, "episode_index": index}
            else:
                parts = ("chunk_index", "file_index")
                keys_of_file = {part: int(about[f"{place}/{part}"]) for part in parts}
            return self._root / pattern.format(**keys_of_file, **keys)
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise DataError(
                f"{self._root}: where episode {index} lies is not known: {pattern!r} with {place}/* ({error!r})"
            ) from error

    def _parts(self, path: Path, table: pa.Table, rows: NDArray[np.int64], about: dict[str, Any]) -> Iterator[Episode]:
        found = np.asarray(table.column("task_index").to_numpy())[rows]
        tasks = np.array([self._same.get(task, task) for task in found.tolist()])
        starts = [0, *(np.flatnonzero(np.diff(tasks)) + 1).tolist()]
        if len(starts) > 1 and self._config.stamps == "recorded":
            raise DataError(f"{path}: episode {about['episode_index']} has several tasks: set stamps: frame_rate")
        for number, (begin, end) in enumerate(zip(starts, [*starts[1:], len(rows)], strict=True)):
            first = int(rows[begin])
            part = _Rows(path, table.slice(first, end - begin), first, about, number)
            if int(tasks[begin]) not in self._tasks:
                raise DataError(f"{path}: task {tasks[begin]} of episode {part.index} is not among the tasks")
            yield self._episode(part, self._tasks[int(tasks[begin])])

    def _episode(self, part: _Rows, instruction: str) -> Episode:
        grid = self._grid(part)
        cameras: dict[str, Pictures] = {}
        left_out: dict[str, Counter[str]] = {}
        for name in self._config.cameras:
            pictures = self._pictures(name, part, grid)
            if isinstance(pictures, TablePictures):
                pictures, left_out[name] = pictures.sifted()
            cameras[name] = pictures
        actions = self._signal(self._config.actions, part, grid)
        odometry = None if self._config.odometry is None else self._signal(self._config.odometry, part, grid)
        source = part.about.get("source") or f"{self._root.name}_{part.index:06d}#{part.number}"
        begin, end = float(grid[0]), float(grid[-1])
        if self._config.stamps == "recorded":
            begin, end = (self._number(part, key) for key in ("begin", "end"))
        return Episode(source, instruction, cameras, actions, odometry, begin, end, left_out)

    def _number(self, part: _Rows, key: str) -> float:
        if key not in part.about:
            raise DataError(f"{self._root}: of episode {part.index} no {key} is known: set stamps: frame_rate")
        return float(part.about[key])

    def _grid(self, part: _Rows) -> NDArray[np.float64]:
        """LeRobot's own times of the rows (s), and of the one that would follow."""
        frames = np.asarray(part.table.column("frame_index").to_numpy(), dtype=np.int64)
        if np.any(np.diff(frames) != 1):
            raise DataError(f"{part.path}: frames of episode {part.index} are not numbered one after the other")
        return seconds(nanoseconds(np.append(frames, frames[-1] + 1) / self._info.fps))

    def _signal(self, stored: StoredSignal, part: _Rows, grid: NDArray[np.float64]) -> Signal:
        where = f"{part.path}: {stored.key} of episode {part.index}"
        if self._config.stamps == "frame_rate":
            return signal(where, stored, _matrix(numbers(part.path, part.table, stored.key)), grid[:-1], None)
        path, episodes = self._recorded[stored.key]
        if part.index not in episodes:
            raise DataError(f"{path}: nothing of episode {part.index}")
        table = episodes[part.index]
        received = table.column("received")
        return signal(
            where,
            stored,
            _matrix(numbers(path, table, "value")),
            np.asarray(table.column("stamp").to_numpy(), dtype=np.float64),
            None if received.null_count else np.asarray(received.to_numpy(), dtype=np.float64),
        )

    def _pictures(self, name: str, part: _Rows, grid: NDArray[np.float64]) -> Pictures:
        key = self._config.cameras[name]
        rows = np.arange(len(part.table))
        stamps, received = grid[:-1], None
        if self._config.stamps == "recorded":
            of_stamps, of_received = times_of(key)
            stamps = self._times(part, of_stamps)
            if of_received in part.table.column_names:
                received = self._times(part, of_received)
            rows = np.flatnonzero(np.diff(stamps, prepend=-np.inf) != 0)
            stamps, received = stamps[rows], None if received is None else received[rows]
            try:
                check_stamps(key, stamps, received)
            except DataError as error:
                raise DataError(f"{part.path}: episode {part.index}: {error}") from error
        if self._cameras[name] == "image":
            return TablePictures(part.path, key, part.first + rows, stamps, received, self._config.rules)
        path = self._path(str(self._info.video_path), f"videos/{key}", part.about, video_key=key)
        if not path.is_file():
            raise DataError(f"{path}: the video of episode {part.index} is not there")
        begin = float(part.about.get(f"videos/{key}/from_timestamp", 0.0))
        return VideoPictures(path, begin + grid[rows], 1.0 / self._info.fps, stamps, received, self._config.rules)

    def _times(self, part: _Rows, column: str) -> NDArray[np.float64]:
        elapsed = np.asarray(numbers(part.path, part.table, column), dtype=np.float64).reshape(-1)
        return after(self._number(part, "begin"), elapsed)


def _matrix(values: NDArray[np.generic]) -> NDArray[np.generic]:
    """A feature of one column is stored without lists."""
    return values[:, None] if values.ndim == 1 else values
