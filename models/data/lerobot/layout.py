"""What lies where in a LeRobot dataset, and its meta/info.json."""

from __future__ import annotations

import json
import re
from pathlib import Path
from string import Formatter
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from ...documents import validate
from ...errors import DataError

Version = Literal["v2.1", "v3.0"]
INFO, STATS = "meta/info.json", "meta/stats.json"
TASKS: dict[Version, str] = {"v2.1": "meta/tasks.jsonl", "v3.0": "meta/tasks.parquet"}
EPISODES: dict[Version, str] = {"v2.1": "meta/episodes.jsonl", "v3.0": "meta/episodes"}
EPISODES_STATS = "meta/episodes_stats.jsonl"  # v2.1 only
EPISODES_FILE = "meta/episodes/chunk-000/file-000.parquet"  # v3.0 only
DATA: dict[Version, str] = {
    "v2.1": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
    "v3.0": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
}
VIDEO: dict[Version, str] = {
    "v2.1": "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4",
    "v3.0": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
}
_NUMBER = re.compile(r"(0?\d{1,2}d?)?")  # how a number in a path is written
FILES_PER_CHUNK = 1000
DATA_MEGABYTES, VIDEO_MEGABYTES = 100, 200
# Beside what LeRobot knows: commands and measurements at their own times, and pictures' seconds since the begin.
SIGNAL = "signals/{key}.parquet"


def times_of(key: str) -> tuple[str, str]:
    """The features that hold a camera's stamps and receive times."""
    # LeRobot takes every feature with "image" in its name for pictures.
    camera = key.removeprefix("observation.images.").replace("image", "im")
    return f"stamp.{camera}", f"received.{camera}"


class Feature(BaseModel):
    """A column of the tables, or a video; further keys are LeRobot's own."""

    model_config = ConfigDict(extra="allow", frozen=True)

    dtype: str
    shape: tuple[int, ...]
    names: Any = None


class Info(BaseModel):
    """What is read of meta/info.json; it has more."""

    model_config = ConfigDict(extra="allow", frozen=True)

    codebase_version: Version
    fps: float = Field(gt=0.0)
    features: dict[str, Feature]
    chunks_size: int = Field(default=FILES_PER_CHUNK, gt=0)
    data_path: str
    video_path: str | None = None

    @field_validator("data_path", "video_path")
    @classmethod
    def _plain(cls, pattern: str | None) -> str | None:
        """Refuse what would format a path of any length, or look into what is formatted."""
        for _, name, spec, conversion in Formatter().parse(pattern or ""):
            if name is not None and (conversion or not name.isidentifier() or not _NUMBER.fullmatch(spec or "")):
                field = f"{{{name}{f'!{conversion}' if conversion else ''}{f':{spec}' if spec else ''}}}"
                raise ValueError(f"holds the field {field:.60}, expected one like {{episode_index:06d}}")
        return pattern


def read_info(root: Path) -> Info:
    """The description of a dataset.

    Raises:
        DataError: no LeRobot dataset, another version than v2.1 and v3.0, or malformed.
    """
    path = root / INFO
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not readable, so {root} is no LeRobot dataset ({error})") from error
    return validate(Info, document, path, DataError)


def numbered(pattern: str, number: int, **keys: str) -> str:
    """The path of file `number`, of an episode (v2.1) or of several (v3.0)."""
    chunk, place = divmod(number, FILES_PER_CHUNK)
    return pattern.format(episode_chunk=chunk, episode_index=number, chunk_index=chunk, file_index=place, **keys)
