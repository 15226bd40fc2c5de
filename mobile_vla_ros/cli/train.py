"""`mobile-vla train`, `verify-gradients`, `assemble`: policies are made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from .options import Seed


def train(
    config: Annotated[Path, typer.Option(help="training configuration, such as config/train/sim_small.yaml")],
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only look at data, memory, disk and one step")] = False,
) -> None:
    """Train a policy as a configuration says, and write its policy directories; one that was interrupted goes on."""
    from mobile_vla_models.training import dry_run as try_out
    from mobile_vla_models.training import train as run

    if dry_run:
        Console().print(try_out(config).table())
    else:
        Console().print(f"policy written to {run(config)}")


def verify_gradients(
    config: Annotated[Path, typer.Option(help="what trains, such as config/verify/full_fine_tuning.yaml")],
) -> None:
    """Check by one backward pass that gradients reach what is to train, and nothing else; exit code 1 if not."""
    from mobile_vla_models.training.verify import gradient_notes, gradient_table, verify

    report = verify(config)
    console = Console()
    console.print(gradient_table(report))
    for note in gradient_notes(report):
        console.print(escape(note), highlight=False, soft_wrap=True)
    for failure in report.failures:
        console.print(f"[red]failed:[/red] {escape(failure)}", highlight=False, soft_wrap=True)
    if report.failures:
        raise typer.Exit(1)


def assemble(
    out_dir: Annotated[Path, typer.Argument(help="policy directory to write")],
    preset: Annotated[Path, typer.Option(help="policy without its pretrained parts, such as config/model/llava.yaml")],
    backbone: Annotated[str, typer.Option(help="vision-language model: directory or hub id")],
    clip: Annotated[str | None, typer.Option(help="CLIP: directory or hub id, if the preset has CLIP")] = None,
    seed: Seed = 0,
) -> None:
    """Put a new policy around a released vision-language model; its head is untrained."""
    from mobile_vla_models.pretrained import assemble as run

    policy = run(preset, backbone, clip, seed)
    training: dict[str, object] = {"preset": str(preset), "backbone": backbone, "clip": clip, "seed": seed}
    parts = backbone if clip is None else f"{backbone} and {clip}"
    card = f"# An untrained policy\n\nPretrained: {parts}. All else is random.\n"
    policy.save_pretrained(out_dir, training, card)
    Console().print(f"untrained policy of {policy.model.parameter_count():,} parameters written to {out_dir}")
