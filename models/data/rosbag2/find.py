"""Recordings in a folder."""

from __future__ import annotations

from pathlib import Path

from ...errors import DataError

FILES = (".mcap", ".db3")


def find_bags(path: Path) -> list[Path]:
    """The recording at `path`, or those directly in that folder, sorted: folders with a metadata.yaml, MCAP files.

    Raises:
        DataError: none there.
    """
    if (path / "metadata.yaml").is_file() or (path.is_file() and path.suffix in FILES):
        return [path]
    folders = [found.parent for found in path.glob("*/metadata.yaml")]
    bags = sorted([*folders, *(found for found in path.glob("*.mcap") if found.is_file())])
    if bags:
        return bags
    halves = [*path.glob("*.db3"), *path.glob("*/*.db3"), *path.glob("*/*.mcap")]
    why = (
        f"{halves[0]} has none, as when a recorder is killed: ros2 bag reindex {halves[0].parent}"
        if halves
        else "record some: mobile-vla record"
    )
    raise DataError(f"{path} holds no rosbag2 recording (no */metadata.yaml, no *.mcap); {why}")
