"""The figures of a soak, printed."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from .soak import GROWTH, Figures


def print_soak(figures: Figures, console: Console) -> None:
    """Print the figures, what was done, and what was wrong."""
    done = Table("fault", "times")
    for name, count in sorted(figures.faults.items()):
        done.add_row(name, str(count))
    console.print(done)
    table = Table("figure", "value", "allowed")
    table.add_row("simulated time", f"{figures.simulated:.0f} s in {figures.real:.1f} s", "")
    table.add_row("commands", f"{figures.commands}, {100.0 * figures.driving:.0f} % of them not zero", "")
    table.add_row("steps of the policy", str(figures.steps), "")
    table.add_row("faults", str(figures.faults.total()), "")
    table.add_row("zeros that were due", str(figures.zeros_due), "")
    table.add_row("  missed", str(figures.missed), "0")
    table.add_row("commands out of the limits", str(figures.out_of_bounds), "0")
    table.add_row("did not go on after the fault", str(figures.stuck), "0")
    table.add_row("deadlocks", figures.deadlock or "0", "0")
    table.add_row("longest tick, policy's step included", f"{1e3 * figures.longest_tick:.1f} ms", "")
    before, after = figures.memory
    table.add_row("resident memory", f"{before:.1f} to {after:.1f} MiB: {figures.growth:+.2%}", f"{GROWTH:.0%}")
    console.print(table)
    for text in figures.findings:
        console.print(f"[red]failed:[/red] {text}", highlight=False, soft_wrap=True)
    console.print("passed" if figures.passed else "[red]failed[/red]")
