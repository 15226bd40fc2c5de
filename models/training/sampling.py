"""Which frames a step is made of: a pure function of seed and step."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class Order:
    """Frames in an endless order, epoch after epoch.

    Without weights each epoch holds every frame once; with weights as many as there are, drawn by them.

    Args:
        frames: int64 (n,), that are drawn from.
        weights: (n,), probabilities; or None.
        seed: of the orders; the epoch's number is the other part.
    """

    def __init__(self, frames: NDArray[np.int64], weights: NDArray[np.float64] | None, seed: int) -> None:
        self._frames, self._weights, self._seed = frames, weights, seed
        self._epoch: tuple[int, NDArray[np.int64]] = (-1, frames)

    def __len__(self) -> int:
        return len(self._frames)

    def between(self, begin: int, end: int) -> NDArray[np.int64]:
        """The frames at the places from `begin` up to `end` of the order."""
        places = np.arange(begin, end)
        epochs = places // len(self._frames)
        return np.concatenate([self._of(epoch)[places[epochs == epoch] % len(self)] for epoch in np.unique(epochs)])

    def _of(self, epoch: int) -> NDArray[np.int64]:
        if self._epoch[0] != epoch:
            rng = np.random.default_rng([self._seed, epoch])
            self._epoch = (epoch, rng.choice(self._frames, len(self), self._weights is not None, self._weights))
        return self._epoch[1]


def part_of(batch_size: int, part: int, parts: int) -> range:
    """The places in a step's batch that its part number `part` of `parts` holds."""
    size = batch_size // parts
    return range(part * size, (part + 1) * size)


def torch_seed(*numbers: int) -> int:
    """A seed for torch's generators from several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)
