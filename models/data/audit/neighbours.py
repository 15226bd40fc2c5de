"""Vectors that lie near each other, without comparing all with all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray


def near_pairs(vectors: NDArray[np.float32], radius: float) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """For each row, those rows after it (in some order) whose root mean square difference to it is below `radius`.

    Exact: rows are sorted along the direction in which they spread most, and two that lie farther apart along it
    than the radius need no comparison.

    Args:
        vectors: float32 (n, d).
        radius: of the root mean square over d.
    """
    if len(vectors) < 2:
        return
    reach = radius * np.sqrt(vectors.shape[1])
    centred = vectors - vectors.mean(axis=0)
    along = centred @ _widest(centred)
    order = np.argsort(along)
    ends = np.searchsorted(along[order], along[order] + reach, side="right")
    for place, end in enumerate(ends):
        candidates = order[place + 1 : end]
        if len(candidates):
            distances = np.sqrt(np.mean((vectors[candidates] - vectors[order[place]]) ** 2, axis=1))
            near = candidates[distances < radius]
            if len(near):
                yield int(order[place]), near


def _widest(centred: NDArray[np.float32]) -> NDArray[np.float32]:
    """About the direction of the greatest spread, of length 1, by power iteration; any other would do, but slower."""
    axis: NDArray[np.float32] = centred[np.argmax(np.abs(centred).sum(axis=1))]
    for _ in range(8):
        axis = centred.T @ (centred @ axis)
        axis = axis / max(float(np.linalg.norm(axis)), 1e-12)
    return axis


def groups(vectors: NDArray[np.float32], radius: float) -> list[list[int]]:
    """Rows that are linked by near pairs, in groups of 2 and more, largest first."""
    parents = np.arange(len(vectors))

    def root(row: int) -> int:
        while parents[row] != row:
            parents[row] = parents[parents[row]]
            row = int(parents[row])
        return row

    for row, near in near_pairs(vectors, radius):
        for other in near:
            parents[root(int(other))] = root(row)
    members: defaultdict[int, list[int]] = defaultdict(list)
    for row in range(len(vectors)):
        members[root(row)].append(row)
    return sorted((group for group in members.values() if len(group) > 1), key=len, reverse=True)
