"""Episodes as HDF5 files, one each: a row of `actions` for each picture, and the true times of everything beside.

`observations/images/<camera>` uint8 (t, h, w, 3) RGB; `actions` float32 (t, k), the command that answers each picture
of the first camera; `language_instruction`; `signals/actions` and `signals/odometry` as they were; under
`times/<key>/` the true times of dataset `<key>`.
"""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ..blocks import frames
from ..configuration import Hdf5Source, Hdf5Target, InstructionDataset, StoredSignal
from ..episode import Episode, Signal
from ..rows import answering
from ..writer import Advance, Signals, file_name
from .file import TIMES

IMAGES, ACTIONS, ODOMETRY = "observations/images", "signals/actions", "signals/odometry"


class Hdf5Writer:
    """Writes into a new folder."""

    def __init__(self, folder: Path, target: Hdf5Target) -> None:
        self._folder = folder
        folder.mkdir()

    def add(self, episode: Episode, advance: Advance) -> None:
        """Write one episode; `advance` is called for each picture."""
        path = self._folder / f"{file_name(episode.source)}.h5"
        with h5py.File(path, "x") as file:
            file.attrs.update(source=episode.source, begin=episode.begin, end=episode.end)
            for name, pictures in episode.cameras.items():
                key = f"{IMAGES}/{name}"
                stored: h5py.Dataset | None = None
                for row, frame in enumerate(frames(pictures)):
                    if stored is None:
                        shape = (len(pictures.stamps), *frame.shape)
                        stored = file.create_dataset(key, shape, np.uint8, chunks=(1, *frame.shape), compression="lzf")
                        stored.attrs["color"] = "rgb"
                    if frame.shape != stored.shape[1:]:
                        raise DataError(
                            f"{episode.source}: pictures of {name} change from {stored.shape[1:]} to {frame.shape}"
                        )
                    stored[row] = frame
                    advance(1)
                _write_times(file, key, pictures.stamps, pictures.received)
            first = next(iter(episode.cameras.values()))
            rows = file.create_dataset("actions", data=episode.actions.values[answering(episode.actions, first.stamps)])
            rows.attrs["names"] = episode.actions.names
            _write_signal(file, ACTIONS, episode.actions)
            if episode.odometry is not None:
                _write_signal(file, ODOMETRY, episode.odometry)
            file.create_dataset("language_instruction", data=[episode.instruction.encode()])

    def close(self) -> None:
        """Nothing is left to write."""

    def source(self, path: Path, cameras: tuple[str, ...], signals: Signals) -> Hdf5Source:
        """The configuration that reads it all back from `path`."""
        return Hdf5Source(
            type="hdf5",
            path=path,
            cameras={name: f"{IMAGES}/{name}" for name in cameras},
            color="rgb",
            dt=None,
            actions=StoredSignal(key=ACTIONS, columns=signals.actions),
            odometry=None if signals.odometry is None else StoredSignal(key=ODOMETRY, columns=signals.odometry),
            episode_start="keep",
            instruction=InstructionDataset(type="dataset"),
        )


def _write_signal(file: h5py.File, key: str, signal: Signal) -> None:
    file.create_dataset(key, data=signal.values).attrs["names"] = signal.names
    _write_times(file, key, signal.stamps, signal.received)


def _write_times(file: h5py.File, key: str, stamps: NDArray[np.float64], received: NDArray[np.float64] | None) -> None:
    file.create_dataset(f"{TIMES}/{key}/stamp", data=stamps)
    if received is not None:
        file.create_dataset(f"{TIMES}/{key}/received", data=received)
