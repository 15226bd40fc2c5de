"""The `mobile-vla` program: recordings, training and evaluation from the command line.

Each subcommand calls one function of the packages; torch and the simulator are imported only when it runs.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from mobile_vla_models import MobileVLAError

from . import cli_benchmark, cli_convert, cli_data, cli_doctor, cli_evaluate, cli_export, cli_faults
from .cli_options import EngineName
from .demo.errors import DemoError
from .sim.gl import RendererError

USER_ERRORS = (MobileVLAError, RendererError, DemoError, OSError)

app = typer.Typer(
    help="Wheeled robots that follow instructions in words: recordings, training, evaluation.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
)
app.add_typer(cli_convert.app, name="convert")
app.add_typer(cli_data.app, name="data")
app.command()(cli_benchmark.benchmark_node)
app.command()(cli_benchmark.benchmark_training)
app.command()(cli_doctor.doctor)
app.command()(cli_evaluate.evaluate)
app.command()(cli_export.export)
app.command()(cli_faults.faults)

Seed = Annotated[int, typer.Option(min=0, help="of the random series; the same seed gives the same result")]
Workers = Annotated[int, typer.Option(min=1, help="processes")]


@app.command()
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


@app.command()
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


@app.command()
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
    from .sim.record import record as run

    summary = run(out, bags, seed, workers, policy)
    Console().print(
        f"{summary.bags} bags written ({summary.tasks} instructions, {summary.seconds / 60:.1f} simulated min), "
        f"{summary.present} already there, {summary.discarded} drives discarded"
    )


@app.command()
def render_views(
    out: Annotated[Path, typer.Option(help="folder for the shards and views.json")],
    count: Annotated[int, typer.Option(min=1, help="pictures, a multiple of 2000")],
    seed: Seed = 0,
    workers: Workers = 2,
) -> None:
    """Render labelled pictures of simulated rooms, for grounding words in them."""
    from .sim.views import SHARD
    from .sim.views import render_views as run

    if count % SHARD:
        raise typer.BadParameter(f"{count} is not a multiple of {SHARD}", param_hint="--count")
    run(out, count, seed, workers)


@app.command()
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


@app.command()
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


@app.command()
def benchmark_model(
    threads: Annotated[int, typer.Option(min=1, help="of torch, on the CPU")] = 2,
    repeats: Annotated[int, typer.Option(min=1, help="of each timing; medians are shown")] = 5,
) -> None:
    """Measure what keeping keys, values and pictures saves, and what gradient checkpointing does."""
    from mobile_vla_models.benchmark.run import benchmark as run

    run(threads, repeats)


@app.command()
def benchmark_checkpoint(
    folder: Annotated[Path, typer.Option(help="for 8 GB of random weights, kept, and up to 8 GB at a time")],
    threads: Annotated[int, typer.Option(min=1, help="of torch, on the CPU")] = 2,
    frames: Annotated[int, typer.Option(min=2, help="of the simulated camera, to measure errors on")] = 4,
) -> None:
    """Inspect, convert, load and run a full-size random checkpoint, beside the naive way: memory and errors."""
    from mobile_vla_models.benchmark.checkpoint.run import benchmark as run

    from .sim.record import record

    recordings = folder / "recordings"
    record(recordings, bags=1, seed=0, workers=1)
    run(folder, recordings, threads, frames)


@app.command()
def console(
    policy: Annotated[Path, typer.Argument(help="policy directory")],
    device: Annotated[str, typer.Option(help="torch device")] = "cpu",
    dtype: Annotated[str | None, typer.Option(help="float32, bfloat16 or float16; as stored if not given")] = None,
) -> None:
    """Try a policy at a prompt: single steps, latency, memory; `help` lists the commands."""
    from mobile_vla_models.console import run_console

    from .camera_topic import receive_frame

    run_console(policy, device, dtype, receive_frame)


def main() -> None:
    """Run the program; what a user can mend is said in one line, with exit code 2."""
    try:
        app()
    except USER_ERRORS as error:
        _refuse(str(error))
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("", "mobile_vla_ros", "mobile_vla_models"):
            raise
        extras = "'.[policy,train,sim,onnx]'"
        _refuse(f"this needs the Python package {package}; pip install {extras} in the checkout has all of them")


def _refuse(reason: str) -> None:
    Console(stderr=True).print(f"[red]error:[/red] {escape(reason)}", highlight=False, soft_wrap=True)
    sys.exit(2)


if __name__ == "__main__":
    main()
