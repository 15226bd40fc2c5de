"""The tables of a LeRobot dataset that say what its episodes are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ...errors import DataError
from ...sentence import normalize_instruction
from .layout import EPISODES, SIGNAL, TASKS, Version


def read_table(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Columns of a Parquet file, or all.

    Raises:
        DataError: not a Parquet file, damaged, or without one of the columns.
    """
    names = _names(path)
    missing = [column for column in columns or () if column not in names]
    if missing:
        raise DataError(f"{path}: no column {', '.join(missing)} among {', '.join(names)}")
    try:
        return pq.read_table(path, columns=None if columns is None else list(columns), partitioning=None)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: not a readable table ({error})") from error


def numbers(path: Path, table: pa.Table, column: str) -> NDArray[np.generic]:
    """A column of numbers, or of lists of one length: (n,) or (n, k).

    Raises:
        DataError: neither, or with holes.
    """
    found = table.column(column).combine_chunks()
    if found.null_count:
        raise DataError(f"{path}: {column} holds {found.null_count} empty cells, expected none")
    kind = found.type
    if pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind):
        flat = np.asarray(found.flatten().to_numpy(zero_copy_only=False))
        if len(found) == 0 or len(flat) % len(found):
            raise DataError(
                f"{path}: {column} holds {len(flat)} numbers in {len(found)} rows, expected as many in each"
            )
        if not pa.types.is_fixed_size_list(kind) and len(set(found.value_lengths().to_pylist())) != 1:
            raise DataError(f"{path}: the lists of {column} differ in length")
        return flat.reshape(len(found), -1)
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        raise DataError(f"{path}: {column} is {kind}, expected numbers")
    return np.asarray(found.to_numpy(zero_copy_only=False))


def read_tasks(root: Path, version: Version) -> dict[int, str]:
    """The sentences by their index, normalised.

    Raises:
        DataError: missing or malformed.
    """
    path = root / TASKS[version]
    if version == "v2.1":
        return {
            int(_item(path, line, "task_index")): normalize_instruction(str(_item(path, line, "task")))
            for line in _lines(path)
        }
    table = read_table(path)
    # pandas' index: named since v3.0's first year, nameless before.
    text = next((name for name in ("task", "__index_level_0__") if name in table.column_names), None)
    if text is None or "task_index" not in table.column_names:
        raise DataError(f"{path}: columns are {', '.join(table.column_names)}, expected task_index and task")
    sentences = [normalize_instruction(str(sentence)) for sentence in table.column(text).to_pylist()]
    return dict(zip(table.column("task_index").to_pylist(), sentences, strict=True))


def read_episodes(root: Path, version: Version) -> list[dict[str, Any]]:
    """What is known of each episode, in order of its index; statistics left out.

    Raises:
        DataError: missing or malformed.
    """
    path = root / EPISODES[version]
    if version == "v2.1":
        rows = _lines(path)
    else:
        files = sorted(path.glob("*/*.parquet"))
        if not files:
            raise DataError(f"{path} holds no */*.parquet, which say what the episodes are")
        rows = []
        for file in files:
            wanted = [name for name in _names(file) if not name.startswith("stats/")]
            rows += read_table(file, wanted).to_pylist()
    for row in rows:
        _item(path, row, "episode_index")
    return sorted(rows, key=lambda row: int(row["episode_index"]))


def read_signal(root: Path, key: str) -> tuple[Path, dict[int, pa.Table]]:
    """Commands or measurements at their own times, by episode.

    Raises:
        DataError: the dataset has none.
    """
    path = root / SIGNAL.format(key=key)
    if not path.is_file():
        raise DataError(f"{path} is not there: {key} has no times of its own, set stamps: frame_rate")
    table = read_table(path, ["episode_index", "stamp", "received", "value"])
    episodes = np.asarray(table.column("episode_index").to_numpy())
    starts = np.flatnonzero(np.diff(episodes, prepend=-1))
    ends = [*starts[1:].tolist(), len(episodes)]
    return path, {int(episodes[a]): table.slice(a, b - a) for a, b in zip(starts.tolist(), ends, strict=True)}


def _names(path: Path) -> list[str]:
    try:
        return list(pq.read_schema(path).names)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: not a readable table ({error})") from error


def _lines(path: Path) -> list[dict[str, Any]]:
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not readable as lines of JSON ({error})") from error


def _item(path: Path, row: Any, key: str) -> Any:
    if not isinstance(row, dict) or key not in row:
        raise DataError(f"{path}: {row!r:.100} has no {key}")
    return row[key]
