"""`mobile-vla benchmark-node`, `benchmark-training`: what the node adds to a policy's time; how fast it trains."""

from __future__ import annotations

import signal
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from .cli_options import EngineName


class Transport(str, Enum):
    """A kind of frames by its name."""

    RAW = "raw"
    COMPRESSED = "compressed"


def benchmark_node(
    policy: Annotated[Path | None, typer.Argument(help="policy directory")] = None,
    *,
    full_size: Annotated[
        str | None, typer.Option(help="instead: random weights of full size, fp32, bf16, fp16, int8 or w8a8")
    ] = None,
    engine: EngineName = "torch",
    device: Annotated[str, typer.Option(help="torch device")] = "cpu",
    threads: Annotated[int, typer.Option(min=0, help="that compute the policy; 0: the node chooses")] = 0,
    image_transport: Annotated[list[Transport], typer.Option(help="repeatable")] = [*Transport],  # noqa: B006
    seconds: Annotated[float, typer.Option(min=5.0, help="to listen")] = 60.0,
    json_file: Annotated[Path | None, typer.Option("--json", help="also write every result here")] = None,
) -> None:
    """Time policy_node over DDS with a camera of 640 x 480 at 30 Hz: frame to command, and evenness of commands."""
    from mobile_vla_models.documents import write_json

    from .benchmark.report import print_measured
    from .benchmark.run import Setting, measure_full_size, measure_policy

    if (policy is None) == (full_size is None):
        raise typer.BadParameter("give a policy directory, or --full-size PRECISION")
    # However this ends, it ends its children; an interruption that was ignored, as in the background, would not.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    console, results = Console(), []
    for transport in image_transport:
        setting = Setting(transport.value, device, threads, seconds)
        with console.status(f"policy_node, {transport.value} frames"):
            if policy is not None:
                measured = measure_policy(policy, engine, setting)
            else:
                measured = measure_full_size(str(full_size), engine, setting)
        print_measured(measured, console)
        results.append(measured.document())
    if json_file is not None:
        write_json(json_file, results)


def benchmark_training(
    *,
    threads: Annotated[int, typer.Option(min=1, help="of torch, on the CPU")] = 2,
    large: Annotated[
        Path | None, typer.Option(help="instead: steps on 50 GB of pictures, holes of files in this new folder")
    ] = None,
) -> None:
    """Samples per second of the trainer beside a plain loop on the same model and data, or memory on a large set."""
    if large is not None:
        from mobile_vla_models.benchmark.training.large import benchmark as run_large

        run_large(large, 50.0, threads)
        return
    from mobile_vla_models.benchmark.training.speed import benchmark as run

    run(threads)
