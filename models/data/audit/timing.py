"""How regularly a stream comes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .flags import Flag, Severity
from .statistics import median

GAP = 1.5  # periods between two messages: from here on one is missing
LONG_GAP = 0.5  # s: a base stops, and the node's own watchdogs act, after about as long
MISSED = 0.05  # share of messages
RATE_SPREAD = 0.2  # of the set's median rate: a policy's dt cannot suit both
UNCOVERED = 1.0  # s of an episode without messages at its ends


@dataclass(frozen=True)
class Timing:
    """Of one stream in one episode.

    Attributes:
        count: messages.
        rate_hz: 1 / median period; None where there are less than 2.
        longest_gap_s: between two messages.
        missed_share: of the messages that the median period lets expect, those that did not come.
        backwards: stamps before the one they follow.
        repeated: stamps equal to the one they follow.
        uncovered_s: of the episode's length, before the first message and after the last.
    """

    count: int
    rate_hz: float | None
    longest_gap_s: float | None
    missed_share: float
    backwards: int
    repeated: int
    uncovered_s: float


def measure_timing(stamps: NDArray[np.float64], seconds: float, counted: NDArray[np.bool_] | None = None) -> Timing:
    """Look at the stamps of a stream.

    Args:
        stamps: float64 (n,), s.
        seconds: length of the episode.
        counted: bool (n,); gaps after the others are no fault. All count if not given.
    """
    if len(stamps) < 2:
        return Timing(len(stamps), None, None, 0.0, 0, 0, seconds)
    steps = np.diff(stamps)
    forward = steps[steps > 0]
    uncovered = max(0.0, seconds - float(stamps.max() - stamps.min()))
    backwards, repeated = int((steps < 0).sum()), int((steps == 0).sum())
    if len(forward) == 0:
        return Timing(len(stamps), None, None, 0.0, backwards, repeated, uncovered)
    period = float(np.median(forward))
    regarded = steps if counted is None else steps[counted[:-1]]
    missed = float(np.sum(np.round(regarded[regarded > GAP * period] / period) - 1))
    return Timing(
        count=len(stamps),
        rate_hz=1.0 / period,
        longest_gap_s=max(0.0, float(regarded.max())) if len(regarded) else 0.0,
        missed_share=missed / (len(stamps) + missed),
        backwards=backwards,
        repeated=repeated,
        uncovered_s=uncovered,
    )


def timing_flags(stream: str, timings: dict[str, Timing], regular: bool) -> list[Flag]:
    """Complaints about one stream of all episodes.

    Args:
        stream: "camera front", "commands".
        timings: by source.
        regular: whether it is one that must come at a rate (a camera).
    """
    flags: list[Flag] = []

    def complain(severity: Severity, episodes: list[str], found: str, remedy: str) -> None:
        if episodes:
            flags.append(Flag("timing", severity, tuple(episodes), f"{stream}: {found}", remedy))

    few = [source for source, timing in timings.items() if timing.count < 2]
    complain(Severity.ERROR, few, "less than 2 messages", "Leave these episodes out.")
    back = [source for source, timing in timings.items() if timing.backwards]
    count = sum(timing.backwards for timing in timings.values())
    complain(
        Severity.ERROR, back, f"stamps go backwards {count} times", "Mend the clock that stamps, or leave them out."
    )
    repeated = [source for source, timing in timings.items() if timing.repeated > 0.01 * timing.count]
    complain(
        Severity.WARNING,
        repeated,
        f"more than 1 % of the stamps equal the one before (up to {_most(timings, repeated, 'repeated'):.0f} times)",
        "Look for a topic that is recorded twice.",
    )
    gaps = [source for source, timing in timings.items() if (timing.longest_gap_s or 0.0) > LONG_GAP]
    complain(
        Severity.WARNING,
        gaps,
        f"silent for up to {_most(timings, gaps, 'longest_gap_s'):.2f} s" + ("" if regular else " while moving"),
        "Record to a faster disk or with smaller pictures; leave these episodes out, or cut them at the gap.",
    )
    uncovered = [source for source, timing in timings.items() if timing.uncovered_s > UNCOVERED and timing.count > 1]
    if not regular:
        return flags
    complain(
        Severity.WARNING,
        uncovered,
        f"nothing for up to {_most(timings, uncovered, 'uncovered_s'):.2f} s at an episode's begin or end",
        "Look whether the driver started late or died.",
    )
    missed = [source for source, timing in timings.items() if timing.missed_share > MISSED and source not in gaps]
    complain(
        Severity.WARNING,
        missed,
        f"up to {_most(timings, missed, 'missed_share'):.0%} of the messages are missing",
        "Record to a faster disk or with smaller pictures.",
    )
    rates = {source: timing.rate_hz for source, timing in timings.items() if timing.rate_hz is not None}
    usual = median(rates.values())
    if usual is not None:
        odd = [source for source, rate in rates.items() if abs(rate - usual) > RATE_SPREAD * usual]
        low, high = (
            min((rates[source] for source in odd), default=0.0),
            max((rates[source] for source in odd), default=0.0),
        )
        complain(
            Severity.WARNING,
            odd,
            f"{low:.1f} to {high:.1f} Hz, where the set's median is {usual:.1f} Hz",
            "Choose a dt for training that is no shorter than the slowest episode's period.",
        )
    return flags


def _most(timings: dict[str, Timing], episodes: list[str], attribute: str) -> float:
    return max((float(getattr(timings[source], attribute)) for source in episodes), default=0.0)
