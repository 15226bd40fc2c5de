"""Facts of this machine, as the checks want them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from .chain import Process
from .machine import JETPACK_6, Board
from .ros import RosFacts

TIMEOUT = 10.0  # s for nvpmodel


def ros_facts() -> RosFacts:
    """What is there of ROS 2."""
    try:
        import rclpy  # noqa: F401
        from rclpy.utilities import get_rmw_implementation_identifier

        problem, middleware = "", str(get_rmw_implementation_identifier())
    except Exception as error:  # noqa: BLE001  (a library that is not found is not an ImportError everywhere)
        problem, middleware = f"{type(error).__name__}: {error}", ""
    return RosFacts(problem, middleware, dict(os.environ))


def memory_facts(root: Path = Path("/")) -> tuple[dict[str, int], str]:
    """/proc/meminfo in bytes by name, and /proc/swaps."""
    lines = (root / "proc/meminfo").read_text(encoding="utf-8").splitlines()
    words = [line.replace(":", " ").split() for line in lines]
    return {word[0]: int(word[1]) * 1024 for word in words if word[2:] == ["kB"]}, (root / "proc/swaps").read_text(
        encoding="utf-8"
    )


def rmem_max(root: Path = Path("/")) -> int | None:
    """Bytes of the largest socket buffer that a program may ask for; None where the kernel does not say."""
    try:
        return int((root / "proc/sys/net/core/rmem_max").read_text(encoding="utf-8"))
    except OSError:  # containers hide it
        return None


def processes(root: Path = Path("/")) -> list[Process]:
    """All processes that this user may see."""
    found = []
    for folder in (root / "proc").iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            words = (folder / "cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0")
            # The name, in brackets, may have blanks; behind it come state, parent, group, session.
            numbers = (folder / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        found.append(Process(int(folder.name), int(numbers[1]), int(numbers[3]), tuple(words)))
    return sorted(found, key=lambda process: process.pid)


def gpu_hardware(root: Path = Path("/")) -> str | None:
    """What GPU of NVIDIA there is, whether or not anything can use it."""
    if _jetson_model(root):
        return "Jetson"
    return "NVIDIA GPU" if (root / "dev/nvidia0").exists() else None


def board(root: Path = Path("/")) -> Board | None:
    """The Jetson that this is; None elsewhere."""
    model = _jetson_model(root)
    if not model:
        return None
    return Board(model, _jetson_release(root), _power_mode())


def _jetson_model(root: Path) -> str:
    try:
        model = (root / "proc/device-tree/model").read_text(encoding="utf-8").rstrip("\0\n")
    except OSError:
        return ""
    return model if "Jetson" in model else ""


def _jetson_release(root: Path) -> str:
    """`R36` of "# R36 (release), REVISION: 4.3, ..."; empty if there is no such file, as in most containers."""
    try:
        words = (root / "etc/nv_tegra_release").read_text(encoding="utf-8").split()
    except OSError:
        return ""
    return next((word for word in words if word[:1] == JETPACK_6[0] and word[1:].isdecimal()), "")


def _power_mode() -> str:
    program = shutil.which("nvpmodel")
    if program is None:
        return ""
    try:
        done = subprocess.run([program, "-q"], capture_output=True, text=True, timeout=TIMEOUT, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return power_mode(done.stdout)


def power_mode(answer: str) -> str:
    """The name in what `nvpmodel -q` prints: "NV Power Mode: MAXN"; empty if there is none."""
    names = [line.partition(":")[2].strip() for line in answer.splitlines() if line.startswith("NV Power Mode:")]
    return names[0] if names else ""
