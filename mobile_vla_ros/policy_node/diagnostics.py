"""Diagnostics messages of the policy node."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from ..control import DriveController, DriveState
from ..control.endpoints import SubscriberWatch
from ..control.pace import PaceReport
from ..control.rhythm import RhythmReport
from ..inference.worker import Planned
from . import machine

_COUNTS = {
    "received": "frames received",
    "refused": "frames dropped",
    "replaced": "frames replaced by newer ones",
}


@dataclass(frozen=True)
class Counts:
    """Frames since the node became active.

    Attributes:
        received: from the camera.
        refused: that could not be used.
        replaced: by a newer one, before the policy could take them; no fault.
    """

    received: int = 0
    refused: int = 0
    replaced: int = 0

    def values(self) -> dict[str, str]:
        """As a status says them."""
        return {name: str(getattr(self, field)) for field, name in _COUNTS.items()}

    @classmethod
    def read(cls, values: Mapping[str, str]) -> Counts | None:
        """What a status says; None: not of frames."""
        if not values.keys() >= set(_COUNTS.values()):
            return None
        return cls(**{field: int(values[name]) for field, name in _COUNTS.items()})


def values_of(status: DiagnosticStatus) -> dict[str, str]:
    """What a status says, by its keys."""
    return {pair.key: pair.value for pair in status.values}


def gathered(stamp: Time, *statuses: DiagnosticStatus) -> DiagnosticArray:
    """One message of several."""
    message = DiagnosticArray(status=list(statuses))
    message.header.stamp = stamp
    return message


def lifecycle_status(node: str, text: str, fault: bool) -> DiagnosticStatus:
    """What a node does that is not active.

    Args:
        node: fully qualified name.
        text: its state, and what it is doing.
        fault: it could not do what it was told.
    """
    level = DiagnosticStatus.ERROR if fault else DiagnosticStatus.OK
    return _status(f"{node}: control", level, text, {})


def control_status(
    node: str,
    controller: DriveController,
    state: DriveState,
    text: str,
    steady: float,
    counts: Counts,
    rhythm: RhythmReport | None = None,
    subscribers: SubscriberWatch | None = None,
) -> DiagnosticStatus:
    """What is commanded and why, and what each watchdog has seen.

    Args:
        node: fully qualified name.
        controller: that commands.
        state: of its last command.
        text: state and reason.
        steady: s, steady clock.
        counts: of frames.
        rhythm: of the control loop; None: not known.
        subscribers: Watch over the subscribers of the commands; None: not known.
    """
    values = {
        "armed": str(controller.arming.armed).lower(),
        "emergency stop": controller.arming.latched or "no",
        "instruction": controller.instruction,
    }
    for name, watchdog in controller.watchdogs.items():
        silence = watchdog.silence(steady)
        waits = "waits for nothing" if silence is None else f"{silence:.2f} s of silence"
        values[f"{name} watchdog"] = f"{waits}, {watchdog.timeout:g} s allowed" if watchdog.timeout else "not used"
    if rhythm is not None:
        values["control rate (Hz)"] = f"{rhythm.rate:.1f}"
        values["longest control period (ms)"] = f"{1e3 * rhythm.longest:.1f}"
    values |= counts.values()
    level = DiagnosticStatus.OK
    if subscribers is not None:
        values |= {f"subscribers of {topic}": nodes for topic, nodes in subscribers.nodes.items()}
        if subscribers.lost:
            values["subscribers lost since armed"] = "; ".join(subscribers.lost)
        if subscribers.lost or subscribers.missing:
            level = DiagnosticStatus.WARN
    level = DiagnosticStatus.ERROR if state is DriveState.STOPPED else level
    return _status(f"{node}: control", level, text, values)


def pace_status(node: str, report: PaceReport | None, identity: str) -> DiagnosticStatus:
    """Rate and latencies of the policy.

    Args:
        node: fully qualified name.
        report: None while nothing is answered, which is no fault: without an instruction there is nothing to answer.
        identity: of the policy; empty: not known.
    """
    name, values = f"{node}: policy", {"policy": identity} if identity else {}
    if report is None:
        return _status(name, DiagnosticStatus.OK, "no answers yet", values)
    values |= {"rate (Hz)": f"{report.rate:.1f}", "trained rate (Hz)": f"{report.expected:.1f}"}
    for what, percentiles in (("step", report.step), ("frame to answer", report.age)):
        for share, seconds in zip(("p50", "p95", "p99"), percentiles, strict=True):
            values[f"{what} {share} (ms)"] = f"{1e3 * seconds:.1f}"
    calm = not (report.too_slow or report.starved)
    return _status(name, DiagnosticStatus.OK if calm else DiagnosticStatus.WARN, report.text, values)


def machine_status(node: str, root: Path = machine.ROOT) -> DiagnosticStatus:
    """Memory, and what a Jetson says of its heat and power.

    Args:
        node: fully qualified name.
        root: of the file system.
    """
    values: dict[str, str] = {}
    memory, left, mode = machine.resident_memory(root), machine.available_memory(root), machine.power_mode(root)
    if memory is not None:
        values["resident memory (MiB)"] = f"{memory:.0f}"
    if left is not None:
        values["available memory (MiB)"] = f"{left:.0f}"
    if mode:
        values["power mode"] = mode
    values |= {f"{name} (W)": f"{watts:.1f}" for name, watts in machine.power(root).items()}
    values |= {f"{name} (°C)": f"{degrees:.1f}" for name, degrees in machine.temperatures(root).items()}
    hot = machine.throttled(root)
    if hot:
        return _status(f"{node}: machine", DiagnosticStatus.WARN, f"throttled for heat: {', '.join(hot)}", values)
    return _status(f"{node}: machine", DiagnosticStatus.OK, "", values)


def provenance(
    node: str, answer: Planned, instruction: str, identity: str, now: float, steady: float, stamp: Time
) -> DiagnosticArray:
    """Which frame, instruction and policy a command comes from, and where the time between frame and command went.

    Args:
        node: fully qualified name.
        answer: the plan that the command begins to follow.
        instruction: that it answers.
        identity: of the policy; empty: not known.
        now: s, clock of the frames.
        steady: s, time.monotonic() at the same moment.
        stamp: of the command, and of the message.
    """
    moments = {
        "received": answer.received,
        "begun": answer.begun,
        "decoded": answer.decoded,
        "planned": answer.planned,
    }
    ages = {name: now - steady + moment - answer.plan.stamp for name, moment in moments.items()}
    values = {"instruction": instruction, "policy": identity, "frame (s)": f"{answer.plan.stamp:.6f}"}
    values |= {f"{name} (ms)": f"{1e3 * age:.3f}" for name, age in ages.items()}
    values["latency (ms)"] = f"{1e3 * (now - answer.plan.stamp):.3f}"
    return gathered(stamp, _status(f"{node}: provenance", DiagnosticStatus.OK, "", values))


def _status(name: str, level: bytes, text: str, values: Mapping[str, str]) -> DiagnosticStatus:
    pairs = [KeyValue(key=key, value=value) for key, value in values.items()]
    return DiagnosticStatus(name=name, hardware_id="", level=level, message=text, values=pairs)
