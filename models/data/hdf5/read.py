"""Episodes of HDF5 files: numbers are read, pictures are not."""

from __future__ import annotations

import re
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from ...errors import DataError
from ...image_header import ImageError, check_size
from ...sentence import normalize_instruction
from ..columns import check_names, signal
from ..configuration import Hdf5Source, InstructionDataset, StoredSignal
from ..episode import Episode, Signal, check_stamps
from ..instants import steps
from .file import TIMES, dataset, use_file
from .pictures import Hdf5Pictures

SUFFIXES = (".h5", ".hdf5")
EVENTS = "action_event_types"
_KNOWN_EVENTS = {"episode_start", "start_action", "stop_action"}
_NAME = re.compile(r"episode_\d{8}_\d{6}_(?P<scenario>.+?)(_core|_variant_(close|medium|far))?")


def open_hdf5(config: Hdf5Source) -> list[Episode]:
    """Episodes of the files at a path.

    Raises:
        DataError: no file, not HDF5, a dataset missing or of another shape, an event or scenario that is not known.
    """
    if config.path.is_file():
        return [_read(config.path, config)]
    files = sorted(file for file in config.path.glob("*") if file.suffix in SUFFIXES)
    if not files:
        raise DataError(f"{config.path} holds no HDF5 file ({', '.join('*' + suffix for suffix in SUFFIXES)})")
    return [_read(file, config) for file in track(files, description="listing HDF5 files")]


def _read(path: Path, config: Hdf5Source) -> Episode:
    with use_file(path) as file:
        first = _first_row(path, file, config)
        actions = _signal(path, file, config, config.actions, first)
        odometry = None if config.odometry is None else _signal(path, file, config, config.odometry, first)
        cameras = {name: _pictures(path, file, config, keys, first) for name, keys in config.cameras.items()}
        if config.dt is not None:
            begin, end = 0.0, float(steps(len(actions) + 1, config.dt)[-1])
            for pictures in cameras.values():
                if len(pictures.stamps) != len(actions):
                    raise DataError(
                        f"{path}: {pictures.key} has {len(pictures.stamps)} rows and {config.actions.key} "
                        f"{len(actions)}: without true times there must be an action for each picture"
                    )
        else:
            begin, end = _attribute(path, file, "begin"), _attribute(path, file, "end")
        source = str(file.attrs.get("source", f"{path.stem}#0"))
        return Episode(source, _instruction(path, file, config), cameras, actions, odometry, begin, end)


def _first_row(path: Path, file: h5py.File, config: Hdf5Source) -> int:
    """1 where the first row is the start frame and is to be dropped, else 0."""
    if config.episode_start == "keep":
        return 0
    if EVENTS not in file:
        raise DataError(f"{path}: no {EVENTS}, so its start frame is not known: set episode_start: keep")
    events = [event.decode() if isinstance(event, bytes) else str(event) for event in dataset(path, file, EVENTS)[:]]
    unknown = sorted(set(events) - _KNOWN_EVENTS)
    if unknown or "episode_start" in events[1:]:
        what = f"{unknown[0]!r}" if unknown else f"episode_start in row {events.index('episode_start', 1)}"
        raise DataError(f"{path}: {EVENTS} holds {what}, expected {', '.join(sorted(_KNOWN_EVENTS))}, the first once")
    return int(events[:1] == ["episode_start"])


def _times(
    path: Path, file: h5py.File, config: Hdf5Source, key: str, count: int
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """Stamps and receive times of the rows that are kept; `count` of them."""
    place = f"{TIMES}/{key}"
    if config.dt is not None:
        if TIMES in file:
            raise DataError(f"{path} holds true times, under {TIMES}/: dt must be null, not {config.dt}")
        return steps(count, config.dt), None
    stamps = dataset(path, file, f"{place}/stamp")[:]
    received = dataset(path, file, f"{place}/received")[:] if f"{place}/received" in file else None
    try:
        check_stamps(key, stamps, received)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    if len(stamps) != count:
        raise DataError(f"{path}: {place} has {len(stamps)} times for {count} rows")
    return stamps, received


def _signal(path: Path, file: h5py.File, config: Hdf5Source, stored: StoredSignal, first: int) -> Signal:
    values = dataset(path, file, stored.key)
    if values.ndim != 2:
        raise DataError(f"{path}: {stored.key} has shape {values.shape}, expected (rows, {len(stored.columns)})")
    where = f"{path}: {stored.key}"
    check_names(where, stored, [str(name) for name in values.attrs.get("names", ())])
    stamps, received = _times(path, file, config, stored.key, len(values) - first)
    return signal(where, stored, values[first:], stamps, received)


def _pictures(path: Path, file: h5py.File, config: Hdf5Source, keys: str | tuple[str, ...], first: int) -> Hdf5Pictures:
    options = (keys,) if isinstance(keys, str) else keys
    key = next((key for key in options if isinstance(file.get(key), h5py.Dataset)), options[0])
    stored = dataset(path, file, key)
    if stored.ndim != 4 or stored.shape[3] != 3 or stored.dtype != np.uint8 or len(stored) <= first:
        raise DataError(f"{path}: {key} is {stored.dtype} {stored.shape}, expected uint8 (t, height, width, 3)")
    try:
        check_size(stored.shape[2], stored.shape[1], config.max_image_width, config.max_image_height)
    except ImageError as error:
        raise DataError(f"{path}: {key}: {error}") from error
    said = stored.attrs.get("color")
    if said is not None and said != config.color:
        raise DataError(f"{path}: {key} says that its color is {said!r}, the configuration says {config.color!r}")
    stamps, received = _times(path, file, config, key, len(stored) - first)
    return Hdf5Pictures(path, key, first, config.color == "bgr", stamps, received)


def _instruction(path: Path, file: h5py.File, config: Hdf5Source) -> str:
    instruction = config.instruction
    if not isinstance(instruction, InstructionDataset):
        named = _NAME.fullmatch(path.stem)
        if named is None:
            raise DataError(f"{path}: expected a name like episode_YYYYMMDD_HHMMSS_<scenario>.h5")
        scenario = named["scenario"]
        if scenario not in instruction.instructions:
            known = ", ".join(sorted(instruction.instructions))
            raise DataError(f"{path}: scenario {scenario!r} is not among those with an instruction: {known}")
        return normalize_instruction(instruction.instructions[scenario])
    found = np.atleast_1d(dataset(path, file, instruction.key)[()])
    if found.shape != (1,):
        raise DataError(f"{path}: {instruction.key} has shape {found.shape}, expected one sentence")
    sentence = normalize_instruction(found[0].decode("utf-8") if isinstance(found[0], bytes) else str(found[0]))
    if not sentence:
        raise DataError(f"{path}: {instruction.key} is empty, expected a sentence")
    return sentence


def _attribute(path: Path, file: h5py.File, name: str) -> float:
    if name not in file.attrs:
        raise DataError(f"{path}: no attribute {name!r}, which files with true times have; others want a dt")
    return float(file.attrs[name])
