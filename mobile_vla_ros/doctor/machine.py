"""Checks of memory, disk, kernel and board."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .finding import Finding, ok, warning
from .sizes import size_text

FRAME = 640 * 480 * 3  # bytes of the raw picture that buffers are judged by where none was seen
DISK = 2 * 10**9  # bytes: logs, recordings, an export of a small policy
LEFT_BEHIND = 500  # files; a node leaves about ten when it is killed, and thousands did harm
JETPACK_6 = "R36"  # Jetson Linux


@dataclass(frozen=True)
class Board:
    """A Jetson.

    Attributes:
        model: such as "NVIDIA Jetson Orin NX Engineering Reference Developer Kit".
        release: of Jetson Linux, such as "R36"; empty if unknown.
        power: name of the power mode, such as "MAXN"; empty if unknown.
    """

    model: str
    release: str
    power: str


def check_memory(sizes: Mapping[str, int], swap: str) -> list[Finding]:
    """What is free, and what backs it.

    Args:
        sizes: of /proc/meminfo, bytes by name.
        swap: /proc/swaps.
    """
    available, total = sizes["MemAvailable"], sizes["MemTotal"]
    found = f"{size_text(available)} of {size_text(total)} available"
    least = total // 10
    if available < least:
        memory = warning("memory", found, "less than a tenth is free: end what is not needed (ps aux --sort -rss)")
    else:
        memory = ok("memory", found)
    if "zram" not in swap:
        return [memory]
    advice = "zram takes the memory that it saves: use a swap file on NVMe (docs/jetson.md)"
    return [memory, warning("swap", "zram", advice)]


def check_disk(free: int, place: str) -> Finding:
    """Whether logs and recordings find room.

    Args:
        free: bytes that can be written.
        place: where.
    """
    found = f"{size_text(free)} free at {place}"
    if free < DISK:
        return warning("disk", found, f"less than {size_text(DISK)}: move recordings and old logs (~/.ros/log) away")
    return ok("disk", found)


def check_socket_buffers(rmem_max: int, frame: int) -> Finding:
    """Whether a raw picture fits the kernel's largest socket buffer.

    Args:
        rmem_max: bytes, net.core.rmem_max.
        frame: bytes of a raw picture.
    """
    found = f"net.core.rmem_max is {size_text(rmem_max)}, a raw picture {size_text(frame)}"
    if rmem_max < frame:
        return warning(
            "socket buffers",
            found,
            "raw pictures that cross a network lose parts: image_transport: compressed, or "
            "sudo sysctl -w net.core.rmem_max=2147483647 (docs/deployment.md)",
        )
    return ok("socket buffers", found)


def check_shared_memory(left: int) -> Finding:
    """Whether what dead processes have left could make new nodes deaf.

    Args:
        left: files of Fast DDS that no process holds.
    """
    found = f"{left} files that killed nodes have left"
    if left > LEFT_BEHIND:
        advice = "new nodes may not hear each other: python3 -m mobile_vla_ros.shared_memory removes them"
        return warning("shared memory", found, advice)
    return ok("shared memory", found)


def check_board(board: Board | None) -> list[Finding]:
    """Whether a Jetson runs what we write about, as fast as it can; nothing to say elsewhere."""
    if board is None:
        return []
    findings = [ok("board", f"{board.model}, Jetson Linux {board.release or 'of an unknown release'}")]
    if board.release and board.release != JETPACK_6:
        advice = f"docs/jetson.md is about JetPack 6 ({JETPACK_6}): versions and wheels differ"
        findings = [warning("board", findings[0].found, advice)]
    if not board.power:
        findings.append(warning("power mode", "unknown: nvpmodel -q says nothing", "run `sudo nvpmodel -q` yourself"))
    elif not board.power.startswith("MAXN"):
        advice = "for full speed: sudo nvpmodel -m 0, then sudo jetson_clocks; it may want to reboot"
        findings.append(warning("power mode", board.power, advice))
    else:
        findings.append(ok("power mode", board.power))
    return findings
