"""The tables of a LeRobot dataset: rows, true times of signals, tasks, episodes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..episode import Signal
from .layout import DATA, DATA_MEGABYTES, EPISODES_FILE, FILES_PER_CHUNK, SIGNAL, TASKS, Version, numbered
from .numbered import NumberedFiles

_GROUP = 64  # rows of a table with pictures that are read together


class RowWriter:
    """Writes a row for each picture, episode after episode."""

    def __init__(self, root: Path, version: Version) -> None:
        self._root = root
        self._version = version
        self._files: NumberedFiles[pq.ParquetWriter] = NumberedFiles()
        self.rows = 0

    def add(self, columns: Mapping[str, NDArray[np.generic]], cells: Mapping[str, pa.Array]) -> dict[str, Any]:
        """Write an episode's rows; where they are."""
        table = pa.table({**{key: _array(values) for key, values in columns.items()}, **cells})
        file = self._files.file
        if file is None or self._version == "v2.1" or self._files.bytes >= DATA_MEGABYTES * 2**20:
            path = self._root / numbered(DATA[self._version], self._files.number + 1)
            path.parent.mkdir(parents=True, exist_ok=True)
            file = self._files.begin(pq.ParquetWriter(path, table.schema), path)
        file.write_table(table, row_group_size=_GROUP if cells else None)
        first, self.rows = self.rows, self.rows + len(table)
        if self._version == "v2.1":
            return {}
        chunk, place = divmod(self._files.number, FILES_PER_CHUNK)
        where = {"data/chunk_index": chunk, "data/file_index": place}
        return where | {"dataset_from_index": first, "dataset_to_index": self.rows}

    def close(self) -> None:
        """Finish the last file."""
        self._files.close()


class SignalWriter:
    """Writes commands or measurements at their own times, a group of rows for each episode."""

    def __init__(self, root: Path, key: str) -> None:
        self._path = root / SIGNAL.format(key=key)
        self._path.parent.mkdir(exist_ok=True)
        self._file: pq.ParquetWriter | None = None

    def add(self, episode: int, signal: Signal) -> None:
        """Write an episode's."""
        received = pa.nulls(len(signal), pa.float64()) if signal.received is None else pa.array(signal.received)
        values = pa.FixedSizeListArray.from_arrays(pa.array(signal.values.reshape(-1)), len(signal.names))
        index = np.full(len(signal), episode)
        table = pa.table({"episode_index": index, "stamp": signal.stamps, "received": received, "value": values})
        if self._file is None:
            self._file = pq.ParquetWriter(self._path, table.schema)
        self._file.write_table(table)

    def close(self) -> None:
        """Finish the file."""
        if self._file is not None:
            self._file.close()


def write_tasks(root: Path, version: Version, tasks: Sequence[str]) -> None:
    """Write the sentences; number n has index n."""
    path = root / TASKS[version]
    if version == "v2.1":
        write_lines(path, [{"task_index": number, "task": task} for number, task in enumerate(tasks)])
        return
    table = pa.table({"task_index": np.arange(len(tasks)), "task": list(tasks)})
    # LeRobot reads it with pandas and looks tasks up by its index: pandas' own description makes "task" that.
    described = {
        "index_columns": ["task"],
        "column_indexes": [],
        "columns": [_described("task_index", "int64", "int64"), _described("task", "unicode", "object")],
    }
    pq.write_table(table.replace_schema_metadata({"pandas": json.dumps(described)}), path)


def write_episodes(root: Path, abouts: Sequence[Mapping[str, Any]], stats: Sequence[Mapping[str, Any]]) -> None:
    """Write v3.0's table of the episodes, with their statistics."""
    rows = []
    for about, found in zip(abouts, stats, strict=True):
        flat = {f"stats/{key}/{name}": value for key, of in found.items() for name, value in of.items()}
        rows.append({**about, "meta/episodes/chunk_index": 0, "meta/episodes/file_index": 0, **flat})
    path = root / EPISODES_FILE
    path.parent.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), path)


def write_lines(path: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    """Write one JSON object a line."""
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    path.write_text(text, encoding="utf-8")


def _array(values: NDArray[np.generic]) -> pa.Array:
    """LeRobot stores a feature of one number plainly, of several as lists of that length."""
    if values.ndim == 1 or values.shape[1] == 1:
        return pa.array(values.reshape(-1))
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])


def _described(name: str, pandas_type: str, numpy_type: str) -> dict[str, Any]:
    kinds = {"pandas_type": pandas_type, "numpy_type": numpy_type, "metadata": None}
    return {"name": name, "field_name": name, **kinds}
