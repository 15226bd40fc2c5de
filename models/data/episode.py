"""One recorded run under one instruction: signals in SI units over true time, pictures that are decoded when read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError


@dataclass(frozen=True)
class Signal:
    """Named numbers over time, in SI units and the frames of REP-103.

    Attributes:
        names: of the columns, e.g. ("linear_x", "angular_z"): those of an action spec.
        stamps: float64 (n,), seconds, not decreasing.
        values: float32 (n, k), finite.
        received: float64 (n,), seconds, when the recorder got them; None where the source does not know.

    Raises:
        DataError: shapes or types that do not fit, values or stamps that are not finite, stamps that decrease.
    """

    names: tuple[str, ...]
    stamps: NDArray[np.float64]
    values: NDArray[np.float32]
    received: NDArray[np.float64] | None

    def __post_init__(self) -> None:
        check_stamps("a signal", self.stamps, self.received)
        expected = (len(self.stamps), len(self.names))
        if self.values.shape != expected or self.values.dtype != np.float32:
            raise DataError(
                f"values of {', '.join(self.names)} are {self.values.dtype} {self.values.shape}, "
                f"expected float32 {expected}"
            )
        if len(set(self.names)) != len(self.names):
            raise DataError(f"the names of a signal must differ, got {self.names}")
        if not np.isfinite(self.values).all():
            row, column = np.argwhere(~np.isfinite(self.values))[0]
            raise DataError(
                f"{self.names[column]} is {self.values[row, column]} at {self.stamps[row]:.3f} s, "
                "expected a finite number"
            )

    def __len__(self) -> int:
        return len(self.stamps)

    def columns(self, names: Sequence[str]) -> NDArray[np.float32]:
        """The columns of these names, float32 (n, len(names)), in the order asked for.

        Raises:
            DataError: there is no such column.
        """
        missing = [name for name in names if name not in self.names]
        if missing:
            raise DataError(f"no {', '.join(missing)} among {', '.join(self.names)}")
        return self.values[:, [self.names.index(name) for name in names]]

    def between(self, begin: float, end: float) -> Signal:
        """The part with begin <= stamp < end (s)."""
        rows = (self.stamps >= begin) & (self.stamps < end)
        received = None if self.received is None else self.received[rows]
        return Signal(self.names, self.stamps[rows], self.values[rows], received)


class Pictures(Protocol):
    """One camera's frames, decoded when they are read; small, and pickles: each process opens the files itself."""

    @property
    def stamps(self) -> NDArray[np.float64]:
        """float64 (t,), seconds, of the headers: what the policy's frames would have been gated by; not decreasing."""

    @property
    def received(self) -> NDArray[np.float64] | None:
        """float64 (t,), seconds, when the recorder got them; None where the source does not know."""

    def read(self, rows: Sequence[int] | NDArray[np.int64]) -> list[NDArray[np.uint8]]:
        """Frames as RGB uint8 (h, w, 3) in the size they are stored, in the order asked for.

        Raises:
            DataError: the file is gone or damaged, a frame cannot be decoded; it is named.
        """


@dataclass(frozen=True)
class Episode:
    """A run under one instruction.

    Attributes:
        source: unique and stable, e.g. "seed0_00001#2": recording, "#", number in it.
        instruction: The sentence, as `normalize_instruction` spells it.
        cameras: pictures by the policy's names of the cameras.
        actions: commands as given, at their own times.
        odometry: measured velocity of the body (linear_x, linear_y, angular_z), where there is some.
        begin: seconds; when the instruction was given.
        end: seconds; the next instruction, or the end of the recording.
        left_out: Number of frames that cannot be used and are not among the pictures, by camera and reason.
        repeats: Number of further messages that gave the same instruction.

    Raises:
        DataError: no camera, or an end that is not after the begin.
    """

    source: str
    instruction: str
    cameras: Mapping[str, Pictures]
    actions: Signal
    odometry: Signal | None
    begin: float
    end: float
    left_out: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    repeats: int = 0

    def __post_init__(self) -> None:
        if not self.cameras:
            raise DataError(f"{self.source}: no camera")
        if not self.begin < self.end:
            raise DataError(f"{self.source}: begins at {self.begin} s and ends at {self.end} s")

    @property
    def recording(self) -> str:
        """What the episode is a part of; a split keeps the episodes of one recording on one side."""
        return self.source.split("#")[0]

    @property
    def done_since(self) -> float:
        """Time from which every command until the end is exactly zero (s); `end` when the last one is not.

        An expert that has done its task stands still until the next instruction: this is where `stop` is true.
        """
        moving = np.flatnonzero(np.any(self.actions.values != 0.0, axis=1))
        if len(moving) == 0:
            return self.begin
        if moving[-1] == len(self.actions) - 1:
            return self.end
        return float(self.actions.stamps[moving[-1] + 1])


def check_stamps(of: str, stamps: NDArray[np.float64], received: NDArray[np.float64] | None) -> None:
    """Refuse stamps that cannot be times in order.

    Raises:
        DataError: `of`, what is wrong and where.
    """
    for name, times in (("stamps", stamps), ("receive times", received)):
        if times is None:
            continue
        if times.shape != (len(stamps),) or times.dtype != np.float64:
            raise DataError(f"{of}: {name} are {times.dtype} {times.shape}, expected float64 ({len(stamps)},)")
        if not np.isfinite(times).all():
            raise DataError(f"{of}: {name} hold a value that is not finite, number {np.argmin(np.isfinite(times))}")
    backwards = np.flatnonzero(np.diff(stamps) < 0)
    if len(backwards):
        row = int(backwards[0])
        raise DataError(
            f"{of}: stamps go back from {stamps[row]:.6f} s to {stamps[row + 1]:.6f} s, {len(backwards)} times in all"
        )
