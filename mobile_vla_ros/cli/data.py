"""`mobile-vla data`: recordings looked over before a policy is trained on them, and written in other formats."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

app = typer.Typer(help="Look recordings over, and write them in other formats.", no_args_is_help=True)

Source = Annotated[Path, typer.Argument(help="configuration of a source, such as config/data/sim.yaml")]


@app.command("audit")
def audit_data(
    source: Source,
    *,
    policy: Annotated[Path | None, typer.Option(help="policy directory whose limits the commands should keep")] = None,
    html: Annotated[Path | None, typer.Option(help="also write a page with plots here")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="also write every result here")] = None,
) -> None:
    """Say what is in a set of recordings and what is wrong with it; exit code 1 if something is an error."""
    from mobile_vla_models.data.audit import Severity, audit, flag_table, overall_table, write_json, write_page
    from mobile_vla_models.data.configuration import read_source_config
    from mobile_vla_models.data.sources import list_source
    from mobile_vla_models.policy_directory import read_config
    from mobile_vla_models.policy_entries import CONFIG

    spec = () if policy is None else read_config(policy / CONFIG).action.continuous
    listing = list_source(read_source_config(source))
    limits = {action.name: (action.minimum, action.maximum) for action in spec} or None
    found = audit(listing.episodes, limits, listing.lost, listing.recordings)
    console = Console()
    console.print(overall_table(found), flag_table(found))
    if json_file is not None:
        write_json(found, json_file)
    if html is not None:
        write_page(found, listing.episodes, str(source), html)
    if any(flag.severity is Severity.ERROR for flag in found.flags):
        raise typer.Exit(1)


@app.command("convert")
def convert_recordings(
    source: Source,
    target: Annotated[Path, typer.Argument(help="configuration of a format, such as config/data/to_lerobot.yaml")],
    out: Annotated[Path, typer.Argument(help="folder to write, not there yet")],
) -> None:
    """Write every episode of a source in another format: rosbag2, HDF5 or LeRobot."""
    from mobile_vla_models.data.configuration import read_source_config, read_target_config
    from mobile_vla_models.data.convert import convert_data

    summary = convert_data(read_source_config(source), read_target_config(target), out)
    console = Console()
    console.print(
        f"{summary.episodes} episodes, {summary.pictures} pictures, {summary.bytes / 1e6:.1f} MB written to {out} in "
        f"{summary.seconds:.1f} s; source.yaml there reads them back",
        highlight=False,
    )
    for camera, count in summary.left_out.items():
        console.print(
            f"{count} pictures of {camera} left out: no picture of the first camera is near them", style="yellow"
        )
    unusable = [f"camera {camera}: {left_out.text}" for camera, left_out in summary.unusable.items()]
    for text in (*unusable, *(lost.text for lost in summary.lost)):
        console.print(text, style="yellow", markup=False, highlight=False)
