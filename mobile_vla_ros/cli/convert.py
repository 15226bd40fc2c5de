"""`mobile-vla convert`: what is in a file of weights, and policy directories made of it."""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from mobile_vla_models.configuration import PrecisionConfig
    from mobile_vla_models.convert.conversion import Source

app = typer.Typer(help="Inspect files of weights, and make policy directories of them.", no_args_is_help=True)


class Dtype(str, Enum):
    """A precision by its name."""

    FP32 = "fp32"
    FP16 = "fp16"
    BF16 = "bf16"
    INT8 = "int8"
    W8A8 = "w8a8"
    INT4 = "int4"


OutDir = Annotated[Path, typer.Argument(help="policy directory to write")]
Frames = Annotated[
    Path,
    typer.Option(help="real pictures to measure on: rosbag2 recording(s), or a folder of pictures and instruction.txt"),
]
FrameCount = Annotated[int, typer.Option(min=2, help="frames to measure (and, for int4, to calibrate) on")]
Precision = Annotated[Dtype, typer.Option("--dtype", help="precision of all parts; int8: weights only")]
PartPrecision = Annotated[Dtype | None, typer.Option(help="another precision for this part")]
Bound = Annotated[float, typer.Option(min=0.0, help="greatest error of an action that is accepted, share of its range")]
Force = Annotated[bool, typer.Option("--force", help="accept more than that")]
Device = Annotated[str, typer.Option(help="torch device to measure on; it must be able to run the precision")]


@app.command()
def inspect(
    file: Annotated[Path, typer.Argument(help=".pth, .pt, .ckpt, .safetensors, or a directory of shards")],
    *,
    values: Annotated[bool, typer.Option(help="read every number: NaN, infinities, equal copies")] = True,
    json_file: Annotated[Path | None, typer.Option("--json", help="also write everything here")] = None,
) -> None:
    """Say what is in a file of weights, without loading it and without running what is pickled in it."""
    from mobile_vla_models.inspection.inspection import inspect as run
    from mobile_vla_models.inspection.report import inspection_tree

    with _progress() as progress:
        inspection = run(file, progress, values=values)
    Console().print(inspection_tree(inspection))
    if json_file is not None:
        json_file.write_text(json.dumps(inspection.to_dict(), indent=2, allow_nan=False) + "\n", encoding="utf-8")


@app.command()
def hybrid(
    file: Annotated[
        Path, typer.Argument(help="checkpoint with kosmos_model, clip_model, feature_fusion, rnn, actions")
    ],
    out_dir: OutDir,
    *,
    dtype: Precision,
    frames: Frames,
    vision: PartPrecision = None,
    text: PartPrecision = None,
    clip: PartPrecision = None,
    head: PartPrecision = None,
    fusion_inputs: Annotated[
        str | None, typer.Option(help="fused features in their order, such as backbone,clip_image")
    ] = None,
    read_out: Annotated[str | None, typer.Option(help="what the feature backbone is, such as all:mean")] = None,
    fusion_activation: Annotated[str | None, typer.Option(help="after feature_fusion: none, relu, gelu, ...")] = None,
    activation: Annotated[str | None, typer.Option(help="of the hidden layers of actions.mlp: relu, gelu, ...")] = None,
    final_tanh: Annotated[bool | None, typer.Option(help="whether the output goes through tanh")] = None,
    actions: Annotated[str | None, typer.Option(help="outputs, such as linear_x:m/s,angular_z:rad/s")] = None,
    action_scale: Annotated[
        str | None, typer.Option(help="what an output of 1 means in those units, such as 2.0")
    ] = None,
    dt: Annotated[float | None, typer.Option(help="s between frames")] = None,
    window: Annotated[int | None, typer.Option(min=1, help="frames that the LSTM runs over")] = None,
    normalisation: Annotated[str | None, typer.Option(help="of the pictures: imagenet, clip, or r,g,b/r,g,b")] = None,
    interpolation: Annotated[str | None, typer.Option(help="of their resize: bilinear, bicubic, area")] = None,
    prompt: Annotated[
        str | None, typer.Option(help="of Kosmos-2, such as '<s><image>{front}</image>{instruction}'")
    ] = None,
    tokenizer: Annotated[str | None, typer.Option(help="of Kosmos-2: directory or hub id")] = None,
    clip_tokenizer: Annotated[str | None, typer.Option(help="of CLIP, if its words are fused")] = None,
    kosmos_config: Annotated[
        Path | None, typer.Option(help="config.json of a Kosmos-2 that is not the released one")
    ] = None,
    clip_config: Annotated[Path | None, typer.Option(help="config.json of a CLIP that is not a released one")] = None,
    limits: Annotated[
        Path | None, typer.Option(help="YAML with the base's limits, as action.limits of a policy")
    ] = None,
    frame_count: FrameCount = 16,
    max_action_error: Bound = 0.05,
    force: Force = False,
    device: Device = "cpu",
) -> None:
    """Make a policy directory of a Kosmos-2 + CLIP + LSTM checkpoint; what its tensors do not show is asked for."""
    from mobile_vla_models.convert.hybrid import hybrid_source
    from mobile_vla_models.convert.hybrid_questions import Answers, settings_of
    from mobile_vla_models.convert.hybrid_source import read_hybrid

    answers = Answers(
        fusion_inputs=fusion_inputs,
        read_out=read_out,
        fusion_activation=fusion_activation,
        activation=activation,
        final_tanh=final_tanh,
        actions=actions,
        action_scale=action_scale,
        dt=dt,
        window=window,
        normalisation=normalisation,
        interpolation=interpolation,
        prompt=prompt,
        tokenizer=tokenizer,
        clip_tokenizer=clip_tokenizer,
        kosmos_config=kosmos_config,
        clip_config=clip_config,
        limits=limits,
    )
    read = read_hybrid(file, kosmos_config, clip_config)
    source = hybrid_source(read, settings_of(answers, read))
    precision = _precision(dtype, vision, text, clip, head)
    _convert(source, out_dir, precision, frames, frame_count, max_action_error, force, device)


@app.command()
def precision(
    policy: Annotated[Path, typer.Argument(help="policy directory, not quantised")],
    out_dir: OutDir,
    *,
    dtype: Precision,
    frames: Frames,
    vision: PartPrecision = None,
    text: PartPrecision = None,
    clip: PartPrecision = None,
    head: PartPrecision = None,
    frame_count: FrameCount = 16,
    max_action_error: Bound = 0.05,
    force: Force = False,
    device: Device = "cpu",
) -> None:
    """Make a policy directory of another precision."""
    from mobile_vla_models.convert.policy import policy_source

    source = policy_source(policy)
    _convert(
        source,
        out_dir,
        _precision(dtype, vision, text, clip, head),
        frames,
        frame_count,
        max_action_error,
        force,
        device,
    )


@app.command()
def robovlms(
    out_dir: OutDir,
    *,
    config: Annotated[Path, typer.Option(help="RoboVLMs' JSON; paths in it lead from the working directory")],
    checkpoint: Annotated[Path, typer.Option(help="file of weights that RoboVLMs or DeepSpeed's converter saved")],
    dt: Annotated[float, typer.Option(min=0.0, help="s between frames of its data; RoboVLMs' files do not say it")],
) -> None:
    """Make a policy directory of what RoboVLMs saved."""
    from mobile_vla_models.convert import read_robovlms
    from mobile_vla_models.convert.summary import conversion_summary

    conversion = read_robovlms(config, checkpoint, dt)
    path = conversion.save(out_dir)
    Console().print(*conversion_summary(conversion), f"policy written to {path}")


def _precision(
    dtype: Dtype, vision: Dtype | None, text: Dtype | None, clip: Dtype | None, head: Dtype | None
) -> PrecisionConfig:
    from mobile_vla_models.precision import PARTS, uniform

    if head is not None and head in (Dtype.INT8, Dtype.W8A8, Dtype.INT4):
        raise typer.BadParameter(f"{head.value} is for towers: fp32, fp16 or bf16", param_hint="--head")
    parts = zip(PARTS, (vision, text, clip, head), strict=True)
    chosen = {part: value.value for part, value in parts if value is not None}
    everywhere = uniform(dtype.value)
    return type(everywhere).model_validate({**everywhere.model_dump(), **chosen})


def _convert(
    source: Source,
    out_dir: Path,
    precision: PrecisionConfig,
    frames: Path,
    frame_count: int,
    bound: float,
    force: bool,
    device: str,
) -> None:
    from mobile_vla_models.convert.conversion import Wanted, convert, warnings
    from mobile_vla_models.convert.summary import receipt_tables
    from mobile_vla_models.data.frames import read_runs

    console, wanted = Console(), Wanted(precision, device, bound, force)
    for warning in warnings(wanted):
        console.print(f"[yellow]note:[/yellow] {warning}", highlight=False)
    runs = read_runs(frames, source.config.image, source.config.dt, frame_count)
    with _progress() as progress:
        receipt = convert(source, wanted, runs, out_dir, progress)
    console.print(*receipt_tables(receipt))
    for note in source.notes:
        console.print(f"note: {note}", markup=False, highlight=False)
    console.print(f"policy written to {out_dir}", markup=False)


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn(), transient=True
    )
