"""`mobile-vla faults`: do to policy_node what can go wrong on a robot, and measure that it stands still in time."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from .options import end_by_signals


def faults(
    *,
    only: Annotated[list[str] | None, typer.Option(help="repeatable: name of a fault; all if not given")] = None,
    repeat: Annotated[int, typer.Option(min=1, help="rounds through all of them")] = 1,
    show_list: Annotated[bool, typer.Option("--list", help="only list the faults")] = False,
    soak: Annotated[
        float | None,
        typer.Option(min=10.0, help="instead: so many simulated s of the control core, with faults at random"),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="of --soak")] = 0,
    json_file: Annotated[Path | None, typer.Option("--json", help="also write every result here")] = None,
) -> None:
    """Inject faults into a policy_node that drives, over DDS, with a policy of its own; exit code 1 if any fails."""
    from mobile_vla_models.documents import write_json

    end_by_signals()
    console = Console()
    if soak is not None:
        from ..faults.soak import soak as run_soak
        from ..faults.soak_report import print_soak

        figures = run_soak(soak, seed, console)
        print_soak(figures, console)
        if json_file is not None:
            write_json(json_file, figures.document())
        raise typer.Exit(0 if figures.passed else 1)
    from ..faults.matrix import chosen
    from ..faults.report import document, list_faults, print_results
    from ..faults.run import run_faults

    try:
        wanted = chosen(only or ())
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--only") from error
    if show_list:
        list_faults(wanted, console)
        return
    with console.status("starting policy_node") as status:
        results = run_faults(
            wanted * repeat,
            begun=lambda fault: status.update(f"{fault.name}: {fault.expected.value}"),
            done=lambda result: (
                console.print(
                    f"{'[green]ok[/green]' if result.passed else '[red]failed[/red]'} {result.fault.name}",
                    highlight=False,
                )
                if console.is_terminal
                else None
            ),
        )
    print_results(results, console)
    if json_file is not None:
        write_json(json_file, document(results))
    if not all(result.passed for result in results):
        raise typer.Exit(1)
