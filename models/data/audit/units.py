"""Degrees for radians, centimetres for metres."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from ..episode import Episode
from .delay import Delay
from .flags import Flag, Severity
from .motion import still_below

DEGREES = math.degrees(1.0)  # 57.3: degrees in a radian
CENTIMETRES = 100.0
NEAR = 1.4  # a ratio within this factor of a known one is taken for it
FASTEST_LINEAR, FASTEST_ANGULAR = 5.0, 2 * math.pi  # m/s, rad/s: no indoor base drives or turns as fast for long
MISMATCH = 2.5  # a base that slips or is limited stays below
COMMON = 95  # percentile of the moving commands


def unit_flags(episodes: Sequence[Episode], delays: Mapping[str, Delay]) -> list[Flag]:
    """Complaints about sizes: commands against odometry where it follows them, else against what bases can do."""
    flags: list[Flag] = []
    names = sorted({name for episode in episodes for name in episode.actions.names})
    for name in names:
        if name in delays:
            found = _against_odometry(name, delays[name])
        else:
            found = _against_bases(name, _common(episodes, name, odometry=False), "commanded")
        measured = _against_bases(name, _common(episodes, name, odometry=True), "measured")
        flags += [flag for flag in (found, measured) if flag is not None]
    return flags


def _against_odometry(name: str, delay: Delay) -> Flag | None:
    ratio = 1 / delay.gain
    known, unit, proper = _foreign_unit(name)
    for wrong, factor in (("commands are", ratio), ("odometry is", 1 / ratio)):
        if known / NEAR < factor < known * NEAR:
            return Flag(
                "units",
                Severity.ERROR,
                (),
                f"{name} is commanded {ratio:.3g} times as large as it is measured: the {wrong} in {unit}",
                f"Divide by {known:.4g} where the data are read: {proper} are expected.",
            )
    if not 1 / MISMATCH < ratio < MISMATCH:
        return Flag(
            "units",
            Severity.WARNING,
            (),
            f"{name} is commanded {ratio:.3g} times as large as it is measured",
            "Look for a gain between the command and the base, or a wrong unit.",
        )
    return None


def _against_bases(name: str, common: float, way: str) -> Flag | None:
    known, unit, proper = _foreign_unit(name)
    fastest = FASTEST_ANGULAR if name.startswith("angular") else FASTEST_LINEAR
    if not name.startswith(("angular", "linear")) or common <= fastest:
        return None
    return Flag(
        "units",
        Severity.ERROR,
        (),
        f"{name} is {way} up to {common:.3g} ({COMMON}th percentile while it moves), more than any base does "
        f"({fastest:.3g} {proper}): {unit}?",
        f"Divide by {known:.4g} where the data are read, if so.",
    )


def _foreign_unit(name: str) -> tuple[float, str, str]:
    """Factor and name of the unit that is mistaken for ours, and ours."""
    if name.startswith("angular"):
        return DEGREES, "degrees per second", "rad/s"
    return CENTIMETRES, "centimetres per second", "m/s"


def _common(episodes: Sequence[Episode], name: str, odometry: bool) -> float:
    signals = [episode.odometry if odometry else episode.actions for episode in episodes]
    columns = [signal.columns([name])[:, 0] for signal in signals if signal is not None and name in signal.names]
    sizes = np.abs(np.concatenate(columns)) if columns else np.zeros(0, np.float32)
    sizes = sizes[sizes > still_below(name)]
    return float(np.percentile(sizes, COMMON)) if len(sizes) else 0.0
