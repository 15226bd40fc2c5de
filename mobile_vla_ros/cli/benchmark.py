"""`mobile-vla benchmark` and `benchmark-model`, `-checkpoint`, `-node`, `-training`: what all of it costs."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from .options import EngineName, end_by_signals


class Transport(str, Enum):
    """A kind of frames by its name."""

    RAW = "raw"
    COMPRESSED = "compressed"


def benchmark(
    policy: Annotated[Path | None, typer.Argument(help="policy directory")] = None,
    *,
    full_size: Annotated[
        str | None,
        typer.Option(help="instead: random weights of full size, fp32, bf16, fp16, int8 or w8a8 (onnx: fp32 or int8)"),
    ] = None,
    engine: EngineName = "torch",
    folder: Annotated[
        Path, typer.Option(help="for the files of an export of full size: 16 GB, removed again")
    ] = Path(),
    device: Annotated[str, typer.Option(help="torch device")] = "cpu",
    threads: Annotated[int | None, typer.Option(min=1, help="of torch; chosen by measurement if not given")] = None,
    steps: Annotated[int, typer.Option(min=2, help="that are timed")] = 50,
    compare: Annotated[bool, typer.Option("--compare", help="beside other ways to compute the same step")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="also write every result here")] = None,
) -> None:
    """Time a policy's steps by stage, beside the floor that this machine's own limits set."""
    from mobile_vla_models.benchmark.policy.full_size import full_size_policy
    from mobile_vla_models.benchmark.policy.report import Weights, benchmark_policy, measure_policy
    from mobile_vla_models.benchmark.policy.tables import print_report
    from mobile_vla_models.documents import write_json

    if (policy is None) == (full_size is None):
        raise typer.BadParameter("give a policy directory, or --full-size PRECISION")
    weights = Weights(f"full size, {full_size}", None, True)
    if policy is not None:
        report = benchmark_policy(policy, engine, threads, steps, compare, device)
    elif engine == "onnx":
        from mobile_vla_models.benchmark.policy.exported import exported_policy

        if full_size not in ("fp32", "int8"):
            raise typer.BadParameter(f"{full_size} with onnx, expected fp32 or int8", param_hint="--full-size")
        with exported_policy("fp32" if full_size == "fp32" else "int8", folder) as made:
            report = measure_policy(made, weights, threads, steps, compare, endurance=0)
    else:
        made = full_size_policy(str(full_size), device, engine)
        report = measure_policy(made, weights, threads, steps, compare, endurance=0)
    print_report(report, Console())
    if json_file is not None:
        write_json(json_file, report.document())


def benchmark_model(
    threads: Annotated[int, typer.Option(min=1, help="of torch, on the CPU")] = 2,
    repeats: Annotated[int, typer.Option(min=1, help="of each timing; medians are shown")] = 5,
) -> None:
    """Measure what keeping keys, values and pictures saves, and what gradient checkpointing does."""
    from mobile_vla_models.benchmark.run import benchmark as run

    run(threads, repeats)


def benchmark_checkpoint(
    folder: Annotated[Path, typer.Option(help="for 8 GB of random weights, kept, and up to 8 GB at a time")],
    threads: Annotated[int, typer.Option(min=1, help="of torch, on the CPU")] = 2,
    frames: Annotated[int, typer.Option(min=2, help="of the simulated camera, to measure errors on")] = 4,
) -> None:
    """Inspect, convert, load and run a full-size random checkpoint, beside the naive way: memory and errors."""
    from mobile_vla_models.benchmark.checkpoint.run import benchmark as run

    from ..sim.record import record

    recordings = folder / "recordings"
    record(recordings, bags=1, seed=0, workers=1)
    run(folder, recordings, threads, frames)


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

    from ..benchmark.report import print_measured
    from ..benchmark.run import Setting, measure_full_size, measure_policy

    if (policy is None) == (full_size is None):
        raise typer.BadParameter("give a policy directory, or --full-size PRECISION")
    end_by_signals()
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
