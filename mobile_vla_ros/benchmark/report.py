"""The benchmark of the node as a table."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from mobile_vla_models.benchmark.policy.quantiles import Quantiles

from .run import CONTROL_HZ, Measured

# Milliseconds.
OVERHEAD_P50, OVERHEAD_P99, PERIOD_P99 = 5.0, 20.0, 5.0


def print_measured(measured: Measured, console: Console) -> None:
    """Print everything."""
    figures, setting = measured.figures, measured.setting
    before, after = measured.load
    console.print(
        f"{measured.policy} on {setting.device}, {setting.transport} frames: {figures.steps} steps, "
        f"{figures.rate:.2f} Hz; {measured.cores} cores, load {before:.1f} to {after:.1f}; "
        f"threads: {measured.threads}",
        highlight=False,
        markup=False,
    )
    table = Table("ms", "p50", "p95", "p99", "target")
    table.add_row("policy's own time", *_three(figures.policy), "")
    table.add_row(
        "frame to command, less that", *_three(figures.overhead), f"p50 {OVERHEAD_P50:.0f}, p99 {OVERHEAD_P99:.0f}"
    )
    for name, times in figures.stages.items():
        table.add_row(f"  {name}", *_three(times), "")
    table.add_row("command to its hearer", *_three(figures.delivery), "")
    console.print(table)
    table = Table("ms", "p50", "p99", "largest", "target")
    name, target = f"error of {1e3 / CONTROL_HZ:.0f} ms between commands", f"p99 {PERIOD_P99:.0f}"
    for row, error, wanted in (
        (f"{name}, sent", figures.sent, target),
        (f"{name}, heard", figures.heard, target),
        ("a process beside it that only sleeps", measured.machine, ""),
    ):
        table.add_row(row, *_cells(error.p50, error.p99, error.largest), wanted)
    console.print(table)
    console.print(f"longest time without a command: {figures.longest:.1f} ms", highlight=False)


def _three(times: Quantiles) -> tuple[str, ...]:
    return _cells(times.p50, times.p95, times.p99)


def _cells(*milliseconds: float) -> tuple[str, ...]:
    return tuple(f"{value:.2f}" for value in milliseconds)
