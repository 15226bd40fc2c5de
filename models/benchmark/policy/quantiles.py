"""Times in a few numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Quantiles:
    """Milliseconds: half, 95 % and 99 % of the times were at most this."""

    p50: float
    p95: float
    p99: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Quantiles:
        """Of times in seconds, at least one."""
        p50, p95, p99 = np.percentile(np.asarray(seconds) * 1e3, (50, 95, 99)).tolist()
        return cls(p50, p95, p99)
