"""A camera's header stamps beside the recorder's clock."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .flags import Flag, Severity
from .statistics import theil_sen

SAMPLES = 40  # of an episode: enough for a slope, and pairs of them stay few
EARLY = -0.005  # s: less than this is rounding
FAR = 0.5  # s: no transport takes that long; the clocks differ
OLD = 0.2  # s: as much as a policy's whole step
DRIFT = 200e-6  # s/s: a quartz without correction stays below 100 ppm
DRIFT_SPAN = 10.0  # s: over less, jitter decides the slope
DRIFT_EFFECT = 0.01  # s


@dataclass(frozen=True)
class Clock:
    """Receive time minus header stamp, in one episode or recording.

    Attributes:
        offset_s: median.
        jitter_s: from the 5th to the 95th percentile, drift taken out.
        drift: s per s by which it grows; None over less than 10 s.
    """

    offset_s: float
    jitter_s: float
    drift: float | None


@dataclass(frozen=True)
class Arrivals:
    """Some stamps (s) of a camera in an episode, and how much later each was received (s); float64 (n,)."""

    stamps: NDArray[np.float64]
    offsets: NDArray[np.float64]


def sample_arrivals(stamps: NDArray[np.float64], received: NDArray[np.float64] | None) -> Arrivals | None:
    """Up to SAMPLES of them; None where receive times are not known."""
    if received is None or len(stamps) == 0:
        return None
    rows = np.unique(np.linspace(0, len(stamps) - 1, SAMPLES).round().astype(np.int64))
    return Arrivals(stamps[rows], (received - stamps)[rows])


def measure_clock(arrivals: list[Arrivals]) -> Clock:
    """Compare the clocks over some episodes of one recording (at least one)."""
    stamps = np.concatenate([part.stamps for part in arrivals])
    offsets = np.concatenate([part.offsets for part in arrivals])
    drift = None
    level = offsets
    if np.ptp(stamps) >= DRIFT_SPAN:
        rows = np.unique(np.linspace(0, len(stamps) - 1, 4 * SAMPLES).round().astype(np.int64))
        drift = theil_sen(stamps[rows], offsets[rows])
        level = offsets - drift * (stamps - stamps[0])
    low, high = np.percentile(level, (5, 95))
    return Clock(float(np.median(offsets)), float(high - low), drift)


def clock_flags(camera: str, clocks: dict[str, Clock], spans: dict[str, float], period: float | None) -> list[Flag]:
    """Complaints about one camera.

    Args:
        camera: its name.
        clocks: by recording.
        spans: s between the first and last stamp, by recording.
        period: s between frames, where it is known.
    """
    flags: list[Flag] = []

    def complain(recordings: list[str], severity: Severity, found: str, remedy: str) -> None:
        if recordings:
            flags.append(Flag("clock", severity, tuple(recordings), f"camera {camera}: {found}", remedy))

    offsets = {name: clock.offset_s for name, clock in clocks.items()}
    far = [name for name, offset in offsets.items() if abs(offset) > FAR]
    early = [name for name, offset in offsets.items() if -FAR <= offset < EARLY]
    old = [name for name, offset in offsets.items() if OLD < offset <= FAR]
    complain(
        far,
        Severity.ERROR,
        f"received up to {max((offsets[name] for name in far), key=abs, default=0.0):.2f} s after their header stamps",
        "Camera and recorder have different clocks: synchronise them (chrony, PTP), or train by receive time.",
    )
    complain(
        early,
        Severity.WARNING,
        f"received up to {-min((offsets[name] for name in early), default=0.0) * 1e3:.0f} ms before they were taken",
        "The clocks differ: synchronise them.",
    )
    complain(
        old,
        Severity.WARNING,
        f"up to {max((offsets[name] for name in old), default=0.0) * 1e3:.0f} ms old when they are received",
        "The robot will see as late as that: shorten the camera's queue, or send smaller pictures.",
    )
    jitters = {name: clock.jitter_s for name, clock in clocks.items()}
    uneven = [name for name, jitter in jitters.items() if period is not None and jitter > period]
    complain(
        uneven,
        Severity.WARNING,
        f"the way from camera to recorder takes times that differ by up to "
        f"{max((jitters[name] for name in uneven), default=0.0) * 1e3:.0f} ms, more than a frame's period",
        "Train by header stamps, as is usual; look for a loaded network.",
    )
    drifts = {name: clock.drift for name, clock in clocks.items() if clock.drift is not None}
    drifting = [
        name
        for name, drift in drifts.items()
        if abs(drift) > DRIFT and abs(drift) * spans[name] > max(DRIFT_EFFECT, jitters[name])
    ]
    complain(
        drifting,
        Severity.WARNING,
        f"the clocks drift by up to {max((drifts[name] for name in drifting), key=abs, default=0.0) * 1e6:.0f} ppm",
        "Synchronise them: pictures and commands come apart in long recordings.",
    )
    return flags
