"""Diagnostics messages of the policy node."""

from __future__ import annotations

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from .control.pace import PaceReport


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
