"""What the machine says of itself in files: memory, temperatures, power. All of it only where there is such a file."""

from __future__ import annotations

import os
import re
from pathlib import Path

ROOT = Path("/")
THERMAL = "sys/class/thermal"
HWMON = "sys/class/hwmon"
POWER_MODE = "var/lib/nvpmodel/status"  # of a Jetson
POWER_SENSOR = "ina3221"  # of a Jetson: three rails


def resident_memory(root: Path = ROOT) -> float | None:
    """MiB that this process has in memory."""
    pages = _read(root / "proc/self/statm").split()
    return int(pages[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20 if len(pages) > 1 else None


def available_memory(root: Path = ROOT) -> float | None:
    """MiB that processes may still take; a Jetson's GPU takes its own from there, too."""
    found = re.search(r"^MemAvailable:\s*(\d+) kB", _read(root / "proc/meminfo"), re.MULTILINE)
    return int(found.group(1)) / 2**10 if found else None


def temperatures(root: Path = ROOT) -> dict[str, float]:
    """Degrees Celsius by the name of the thermal zone; zones that are asleep are left out."""
    found: dict[str, float] = {}
    for zone in sorted((root / THERMAL).glob("thermal_zone*")):
        name, reading = _read(zone / "type"), _read(zone / "temp")
        if name and re.fullmatch(r"-?\d+", reading):
            found[name] = int(reading) / 1e3
    return found


def throttled(root: Path = ROOT) -> list[str]:
    """Names of what is held back for its heat, such as the processor's clock; fans are no throttling."""
    devices = sorted((root / THERMAL).glob("cooling_device*"))
    names = [_read(device / "type") for device in devices if _read(device / "cur_state") not in ("", "0")]
    return [name for name in names if "fan" not in name]


def power(root: Path = ROOT) -> dict[str, float]:
    """Watts by the name of the rail."""
    found: dict[str, float] = {}
    for sensor in sorted((root / HWMON).glob("hwmon*")):
        if _read(sensor / "name") != POWER_SENSOR:
            continue
        for label in sorted(sensor.glob("in*_label")):
            channel = label.name.removeprefix("in").removesuffix("_label")
            volts, amperes = _read(sensor / f"in{channel}_input"), _read(sensor / f"curr{channel}_input")
            if volts.isdigit() and amperes.isdigit():
                found[_read(label)] = int(volts) * int(amperes) / 1e6
    return found


def power_mode(root: Path = ROOT) -> str:
    """Number of a Jetson's power mode, as `nvpmodel -q` says it; empty: this is none."""
    found = re.search(r"pmode:(\d+)", _read(root / POWER_MODE))
    return str(int(found.group(1))) if found else ""


def _read(path: Path) -> str:
    """Its text; empty if there is none, or it cannot be read now."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
