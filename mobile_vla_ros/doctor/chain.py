"""Checks of what lies between the node and the wheels: how it ends, and whether the base stops by itself."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from ..control.configuration import BASE_PATIENCE
from .finding import Finding, ok, warning

PARTS = ("twist_mux", "velocity_smoother", "collision_monitor")
WRAPPER = re.compile(r"mobile_vla_ros[./]bringup")  # starts a part in a session of its own, ends it after the node
NODE = "policy_node"
# Parameters, in s, after which a base or a smoother stops when commands cease.
TIMEOUTS = ("cmd_vel_timeout", "reference_timeout", "velocity_timeout")


@dataclass(frozen=True)
class Process:
    """A process of this machine.

    Attributes:
        pid: Its number.
        parent: Number of its parent process.
        session: Number of its session; a terminal's Ctrl-C reaches processes of the terminal's session only.
        words: Its command line.
    """

    pid: int
    parent: int
    session: int
    words: tuple[str, ...]

    @property
    def wraps(self) -> bool:
        """Whether it only starts another process, and ends it later."""
        return any(WRAPPER.search(word) for word in self.words[:5])

    def runs(self, node: str) -> bool:
        """Whether it is the executable, or the node, of this name."""
        named = any(PurePath(word).name == node for word in self.words[:2]) or f"__node:={node}" in self.words
        return named and not self.wraps


def check_end(processes: Sequence[Process]) -> Finding | None:
    """Whether Ctrl-C ends the chain together with the node, before the node's zero is through; None: there is no chain.

    Args:
        processes: All processes of this machine.
    """
    by_pid = {process.pid: process for process in processes}
    parts = [(name, process) for process in processes for name in PARTS if process.runs(name)]
    if not parts:
        return None
    interrupted = {process.session for process in processes if process.runs(NODE) or _is_launch(process)}
    exposed = [
        f"{name} ({process.pid})"
        for name, process in parts
        if process.session in interrupted and not _is_wrapped(process, by_pid)
    ]
    if exposed:
        return warning(
            "Ctrl-C",
            f"ends {', '.join(exposed)} together with {NODE}, whose zero does not reach the base then",
            "the base keeps its last speed until its own time-out: start the chain with launch/safety.launch.py, "
            "which ends it after the node (docs/safety.md)",
        )
    return ok("Ctrl-C", f"{', '.join(name for name, _ in parts)}: end after the node")


def check_base_timeout(listeners: Mapping[str, tuple[str, float] | None]) -> list[Finding]:
    """Whether who hears the commands stops by itself when they cease.

    Args:
        listeners: Parameter and value, in s, of its time-out by node; None: the node has none of `TIMEOUTS`.
    """
    findings = []
    for node, found in listeners.items():
        check = f"time-out of {node}"
        if found is None:
            advice = "try it with the wheels off the floor: publish a slow speed, kill the publisher, and see them stop"
            findings.append(warning(check, f"not seen: it has none of the parameters {', '.join(TIMEOUTS)}", advice))
            continue
        name, value = found
        text = f"{name} is {value:g} s"
        if 0.0 < value <= BASE_PATIENCE:
            findings.append(ok(check, text))
            continue
        found_text = f"{text}: it never stops by itself" if value <= 0.0 else text
        advice = f"{name}: {BASE_PATIENCE} at most, or a node that is killed leaves the robot moving (docs/safety.md)"
        findings.append(warning(check, found_text, advice))
    return findings


def _is_launch(process: Process) -> bool:
    names = [PurePath(word).name for word in process.words[:3]]
    return any(pair == ("ros2", "launch") for pair in itertools.pairwise(names))


def _is_wrapped(process: Process, by_pid: Mapping[int, Process]) -> bool:
    parent = by_pid.get(process.parent)
    return parent is not None and parent.wraps
