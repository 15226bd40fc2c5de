"""What came of the faults: a table, the failures in words, a document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .fault import Fault
from .promises import T
from .run import TRANSPORT, Result

MOST = 4  # failures of a row that are printed; more are in the JSON


def list_faults(faults: Sequence[Fault], console: Console) -> None:
    """Print what would be done."""
    table = Table("fault", "expected", "bound (s)", "to go on", "note")
    for fault in faults:
        table.add_row(*_described(fault), fault.goes_on.value, fault.note)
    console.print(table)


def print_results(results: Sequence[Result], console: Console) -> None:
    """Print a row for each fault, with its worst of all rounds; below it what was wrong."""
    table = Table(
        "fault", "expected", "bound (s)", "to zero (s)", "out of bounds", "goes on", "pass", caption_justify="left"
    )
    table.caption = (
        f"bound: what the parameters promise; {TRANSPORT:g} s are allowed beside it, for the transport and a busy "
        "machine. To zero: from the fault itself to the arrival of the first of the zeros that last."
    )
    rows: dict[str, list[Result]] = {}
    for result in results:
        rows.setdefault(result.fault.name, []).append(result)
    for several in rows.values():
        table.add_row(*_row(several))
    console.print(table)
    for result in results:
        _print_failures(result, console)
    for fault in {result.fault.name: result.fault for result in results}.values():
        if fault.note:
            console.print(f"{fault.name}: {fault.note}", style="dim", markup=False, highlight=False)
    timed = [(result.zero, result.fault.bound) for result in results if result.zero is not None]
    held = sum(bound is not None and zero <= bound + T for zero, bound in timed)
    console.print(f"{held} of {len(timed)} times to zero are within the bound and one control period", highlight=False)
    passed, tried = sum(result.passed for result in results), sum(not result.not_run for result in results)
    console.print(f"{passed} of {len(results)} passed; {len(results) - tried} could not be run", highlight=False)


def document(results: Sequence[Result]) -> list[dict[str, Any]]:
    """As plain types, for JSON; times in s."""
    return [
        {
            "fault": result.fault.name,
            "expected": result.fault.expected.value,
            "bound": result.fault.bound,
            "transport": TRANSPORT,
            "zero": result.zero,
            "out_of_bounds": list(result.out_of_bounds),
            "to_go_on": result.fault.goes_on.value,
            "goes_on": result.goes_on,
            "failures": list(result.failures),
            "not_run": result.not_run or None,
            "passed": result.passed,
        }
        for result in results
    ]


def _described(fault: Fault) -> tuple[str, str, str]:
    return escape(fault.name), fault.expected.value, "-" if fault.bound is None else f"{fault.bound:.2f}"


def _row(several: Sequence[Result]) -> tuple[str, ...]:
    fault, tried = several[0].fault, [result for result in several if not result.not_run]
    if not tried:
        return (*_described(fault), "-", "-", "-", "[red]not run[/red]")
    zeros = [result.zero for result in tried if result.zero is not None]
    passed = sum(result.passed for result in several)
    verdict = "yes" if passed == len(several) else "[red]no[/red]"
    on = all(result.goes_on for result in tried)
    return (
        *_described(fault),
        f"{max(zeros):.3f}" if zeros else "-" if fault.bound is None else "[red]never[/red]",
        str(sum(len(result.out_of_bounds) for result in tried)),
        fault.goes_on.value if on else f"[red]not {fault.goes_on.value}[/red]",
        verdict if len(several) == 1 else f"{verdict}, {passed} of {len(several)}",
    )


def _print_failures(result: Result, console: Console) -> None:
    wrong = [*result.failures, *result.out_of_bounds]
    if result.not_run:
        wrong = [f"could not be run: {result.not_run}"]
    for text in wrong[:MOST]:
        console.print(f"[red]{escape(result.fault.name)}:[/red] {escape(text)}", highlight=False, soft_wrap=True)
    if len(wrong) > MOST:
        console.print(f"[red]{escape(result.fault.name)}:[/red] and {len(wrong) - MOST} more", highlight=False)
