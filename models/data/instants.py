"""Times as float seconds and integer nanoseconds: there and back without a change."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_SECOND = 10**9


def seconds(nanoseconds: NDArray[np.int64]) -> NDArray[np.float64]:
    """Integer nanoseconds as float64 seconds; since 1970 they are exact to 0.24 microseconds."""
    whole, rest = np.divmod(nanoseconds, _SECOND)
    return np.asarray(whole + rest / _SECOND, dtype=np.float64)


def nanoseconds(seconds: NDArray[np.float64]) -> NDArray[np.int64]:
    """Float seconds as the nearest integer nanoseconds; `seconds` of these are the same floats again."""
    whole = np.floor(seconds)
    return np.asarray(whole.astype(np.int64) * _SECOND + np.rint((seconds - whole) * _SECOND).astype(np.int64))


def since(begin: float, times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Seconds from `begin` to each of `times`, exact to the nanosecond; small, so that float32 can hold them."""
    return seconds(nanoseconds(times) - nanoseconds(np.array([begin])))


def after(begin: float, elapsed: NDArray[np.float64]) -> NDArray[np.float64]:
    """The times of which `elapsed` is `since(begin, times)`: the same floats again."""
    return seconds(nanoseconds(elapsed) + nanoseconds(np.array([begin])))


def steps(count: int, dt: float) -> NDArray[np.float64]:
    """The times 0, dt, 2 dt, ... (s), rounded to nanoseconds."""
    return seconds(nanoseconds(np.arange(count, dtype=np.float64) * dt))
