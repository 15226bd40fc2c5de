"""One camera's frames in a recording."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ...images import ImageRules, to_rgb
from ..instants import seconds
from .reader import Bag, header_stamp, message, use_bag

# Frames left out between two that are read together: to go on is cheaper than to look up the next.
_SKIP = 3


@dataclass(frozen=True, eq=False)
class BagPictures:
    """Frames of a topic, looked up by the time at which they were received.

    Attributes:
        path: of the bag.
        topic: of sensor_msgs/Image or CompressedImage.
        stamps_ns: int64 (t,), of the headers or, where the source says so, of reception.
        received_ns: int64 (t,).
        headers_ns: int64 (t,), of the headers; with `received_ns` it says which message is meant.
        rules: What its images may be.
    """

    path: Path
    topic: str
    stamps_ns: NDArray[np.int64]
    received_ns: NDArray[np.int64]
    headers_ns: NDArray[np.int64]
    rules: ImageRules

    @property
    def stamps(self) -> NDArray[np.float64]:
        """float64 (t,), seconds."""
        return seconds(self.stamps_ns)

    @property
    def received(self) -> NDArray[np.float64]:
        """float64 (t,), seconds."""
        return seconds(self.received_ns)

    def read(self, rows: Sequence[int] | NDArray[np.int64]) -> list[NDArray[np.uint8]]:
        """Frames as RGB uint8 (h, w, 3), in the order asked for; each distinct one is decoded once.

        Raises:
            DataError: the bag is gone, damaged or another one, or a frame cannot be decoded.
            IndexError: no such row.
        """
        wanted = np.unique(np.asarray(rows, dtype=np.int64))
        if len(wanted) and not 0 <= wanted[0] <= wanted[-1] < len(self.received_ns):
            raise IndexError(f"rows {wanted[0]} to {wanted[-1]} of {len(self.received_ns)} frames")
        frames: dict[int, NDArray[np.uint8]] = {}
        with use_bag(self.path) as bag:
            for together in self._together(wanted):
                frames.update(self._span(bag, together))
        return [frames[int(row)] for row in np.asarray(rows)]

    def _together(self, wanted: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        by_time = wanted[np.argsort(self.received_ns[wanted], kind="stable")]
        yield from (part for part in np.split(by_time, np.flatnonzero(np.diff(by_time) > _SKIP) + 1) if len(part))

    def _span(self, bag: Bag, wanted: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """Frames that lie close together, in one pass."""
        missing = {(int(self.received_ns[row]), int(self.headers_ns[row])): int(row) for row in wanted}
        begin, end = int(self.received_ns[wanted].min()), int(self.received_ns[wanted].max())
        for connection, received, raw in bag.messages([self.topic], begin, end + 1):
            row = missing.pop((received, header_stamp(raw)), None)
            if row is None:
                continue
            try:
                yield row, to_rgb(message(connection, raw), self.rules)
            except ValueError as error:
                raise DataError(f"{self.path}: {self.topic} at {received * 1e-9:.3f} s: {error}") from error
        if missing:
            raise DataError(
                f"{self.path}: {self.topic} at {next(iter(missing))[0] * 1e-9:.3f} s is no longer there: "
                "the recording is another one than was opened"
            )
