"""Diagnostics messages of the policy node."""

from __future__ import annotations

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from .control.pace import PaceReport
from .inference import Planned


def pace_diagnostics(node: str, report: PaceReport | None, stamp: Time) -> DiagnosticArray:
    """Rate and latencies of the policy.

    Args:
        node: fully qualified name.
        report: None while nothing is answered, which is no fault: without an instruction there is nothing to answer.
        stamp: of the message.
    """
    status = DiagnosticStatus(name=f"{node}: policy", hardware_id="")
    if report is None:
        status.level, status.message = DiagnosticStatus.OK, "no answers yet"
    else:
        calm = not (report.too_slow or report.starved)
        status.level = DiagnosticStatus.OK if calm else DiagnosticStatus.WARN
        status.message = report.text
        values = {"rate (Hz)": report.rate, "trained rate (Hz)": report.expected}
        for name, percentiles in (("step", report.step), ("frame to answer", report.age)):
            for share, seconds in zip(("p50", "p95", "p99"), percentiles, strict=True):
                values[f"{name} {share} (ms)"] = 1e3 * seconds
        status.values = [KeyValue(key=key, value=f"{value:.1f}") for key, value in values.items()]
    message = DiagnosticArray(status=[status])
    message.header.stamp = stamp
    return message


def provenance(node: str, answer: Planned, now: float, steady: float, stamp: Time) -> DiagnosticArray:
    """Which frame a command is the first to use, and where the time between them went.

    Args:
        node: fully qualified name.
        answer: the plan that the command begins to follow.
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
    status = DiagnosticStatus(name=f"{node}: provenance", hardware_id="", level=DiagnosticStatus.OK)
    status.values = [
        KeyValue(key="frame (s)", value=f"{answer.plan.stamp:.6f}"),
        *(KeyValue(key=f"{name} (ms)", value=f"{1e3 * age:.3f}") for name, age in ages.items()),
    ]
    message = DiagnosticArray(status=[status])
    message.header.stamp = stamp
    return message
