"""`mobile-vla record`, `render-views`: recordings and pictures of simulated rooms."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from .options import Seed

Workers = Annotated[int, typer.Option(min=1, help="processes")]


def record(
    out: Annotated[Path, typer.Option(help="folder for the bags, one folder each")],
    bags: Annotated[int, typer.Option(min=1, help="recordings; those that are there already are kept")],
    policy: Annotated[
        Path | None, typer.Option(help="policy directory: it drives, the expert corrects it; else the expert drives")
    ] = None,
    seed: Seed = 0,
    workers: Workers = 2,
) -> None:
    """Record the expert, or a policy and the expert's corrections, in simulated rooms as rosbag2 bags."""
    from ..sim.record import record as run

    summary = run(out, bags, seed, workers, policy)
    Console().print(
        f"{summary.bags} bags written ({summary.tasks} instructions, {summary.seconds / 60:.1f} simulated min), "
        f"{summary.present} already there, {summary.discarded} drives discarded"
    )


def render_views(
    out: Annotated[Path, typer.Option(help="folder for the shards and views.json")],
    count: Annotated[int, typer.Option(min=1, help="pictures, a multiple of 2000")],
    seed: Seed = 0,
    workers: Workers = 2,
) -> None:
    """Render labelled pictures of simulated rooms, for grounding words in them."""
    from ..sim.views import SHARD
    from ..sim.views import render_views as run

    if count % SHARD:
        raise typer.BadParameter(f"{count} is not a multiple of {SHARD}", param_hint="--count")
    run(out, count, seed, workers)
