"""The report of a benchmark as tables."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from ...memory.units import size_text
from .quantiles import Quantiles
from .report import Report


def print_report(report: Report, console: Console) -> None:
    """Print everything."""
    weights, machine, memory = report.weights, report.machine, report.memory
    digest = "" if weights.sha256 is None else f" (sha256 {weights.sha256}...)"
    precisions = ", ".join(f"{part} {precision}" for part, precision in report.precisions.items())
    tokens = "" if report.tokens is None else f", {report.tokens} tokens a frame"
    console.print(
        f"{'random weights, ' if weights.random else ''}{weights.name}{digest}: {report.parameters:,} parameters, "
        f"{precisions}; window {report.window}{tokens}",
        highlight=False,
    )
    console.print(
        f"engine {report.engine} on {machine.device}, {machine.threads} threads of {machine.cores} cores, "
        f"{machine.processor}, torch {machine.torch}, load {machine.load[0]:.1f} to {machine.load[1]:.1f}",
        highlight=False,
    )
    if report.golden is not None:
        console.print(str(report.golden), highlight=False)
    console.print(_stages(report))
    line = report.roofline
    rates = ", ".join(f"{name} {rate / 1e9:.1f}" for name, rate in line.rates.items())
    console.print(
        f"this machine: products of matrices {rates} GFLOP/s (int8: GOP/s); memory read {line.read / 1e9:.1f} GB/s, "
        f"copied {line.copied / 1e9:.1f} GB/s",
        highlight=False,
    )
    console.print(_floor(report))
    resident = [f"RSS {size_text(memory.rss)}"]
    if memory.anonymous is not None:
        resident.append(f"anonymous {size_text(memory.anonymous)}")
    if report.device_peak is not None:
        resident.append(f"at most {size_text(report.device_peak)} on the device")
    console.print(f"process: {', '.join(resident)}", highlight=False)
    if report.stability is not None:
        stable = report.stability
        console.print(
            f"over {stable.steps:,} further steps: memory {size_text(stable.growth)} more, median step "
            f"{stable.first:.2f} ms in the first tenth, {stable.last:.2f} ms in the last ({stable.drift:+.1%})",
            highlight=False,
        )
    if report.comparison is not None:
        console.print(_comparison(report))
        spread = report.comparison.spread
        console.print(f"our answers to one frame and the next differ by up to {spread:.1e} of their range")
        if report.export is not None:
            console.print(str(report.export), highlight=False, style=None if report.export.within else "yellow")
        if report.comparison.windows:
            console.print(_windows(report))
    for note in report.notes:
        console.print(note, style="yellow", highlight=False)


def _stages(report: Report) -> Table:
    table = Table("stage", "p50 ms", "p95 ms", "p99 ms", "of the step", title=f"{len(report.stages.steps)} steps")
    whole = report.stages.step
    for name, times in report.stages.stages.items():
        table.add_row(name, *_shown(times), f"{times.p50 / whole.p50:.1%}")
    table.add_section()
    table.add_row("whole step", *_shown(whole), "")
    return table


def _floor(report: Report) -> Table:
    table = Table(
        "part", "precision", "GFLOP", "weights", "compute ms", "memory ms", "floor ms", title="the least time"
    )
    for part in report.floor:
        cost = part.cost
        table.add_row(
            cost.name,
            cost.precision.value,
            f"{cost.operations / 1e9:.3g}",
            size_text(cost.weights),
            f"{part.compute * 1e3:.2f}",
            f"{part.memory * 1e3:.2f}",
            f"{part.seconds * 1e3:.2f}",
        )
    table.add_section()
    floor = report.floor_seconds * 1e3
    table.add_row("step", "", "", "", "", f"measured: {report.ratio:.2f} x", f"{floor:.2f}")
    return table


def _comparison(report: Report) -> Table:
    assert report.comparison is not None
    ways = report.comparison.ways
    ours = ways[-1].times.p50
    title = f"the same step on the same weights, {report.comparison.steps} steps each, in turn"
    table = Table("way of the step", "p50 ms", "p95 ms", "p99 ms", "of ours", "answers differ by", title=title)
    table.caption = "answers: greatest difference from ours, as a share of each action's range; of 1 for probabilities"
    for way in ways:
        table.add_row(way.name, *_shown(way.times), f"{way.times.p50 / ours:.2f} x", f"{way.difference:.1e}")
    for name in report.comparison.left_out:
        table.add_row(name, "too long", "", "", "", "")
    return table


def _windows(report: Report) -> Table:
    assert report.comparison is not None
    table = Table("window", "p50 ms", "p95 ms", "p99 ms", title="our step with other windows, full")
    for window, times in report.comparison.windows.items():
        table.add_row(f"{window} frames", *_shown(times))
    return table


def _shown(times: Quantiles) -> tuple[str, str, str]:
    return f"{times.p50:.2f}", f"{times.p95:.2f}", f"{times.p99:.2f}"
