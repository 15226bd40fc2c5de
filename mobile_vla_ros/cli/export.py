"""`mobile-vla export`: a policy's step as ONNX graphs, with a receipt of what fewer bits cost."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from .convert import Bound, Force, FrameCount


class ExportDtype(str, Enum):
    """A precision of an export by its name."""

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"


def export(
    policy: Annotated[Path, typer.Argument(help="policy directory, not quantised")],
    *,
    dtype: Annotated[ExportDtype, typer.Option(help="of the towers; int8 is for CPUs")] = ExportDtype.FP32,
    frames: Annotated[
        Path | None,
        typer.Option(
            help="fp16 and int8 want them, to measure on: rosbag2 recording(s), or a folder of pictures and "
            "instruction.txt"
        ),
    ] = None,
    frame_count: FrameCount = 16,
    max_action_error: Bound = 0.05,
    force: Force = False,
    out: Annotated[
        Path | None, typer.Option(help="folder to write; `onnx` in the policy directory if not given")
    ] = None,
) -> None:
    """Write a policy's step as ONNX graphs, for `engine: onnx`."""
    if (frames is None) != (dtype is ExportDtype.FP32):
        reason = "is lossy: give real pictures to measure on" if frames is None else "loses nothing: leave it away"
        raise typer.BadParameter(f"--dtype {dtype.value} {reason}", param_hint="--frames")
    from mobile_vla_models.engine.onnx_export import export as export_exactly
    from mobile_vla_models.engine.onnx_export import export_folder, exportable

    console = Console()
    if frames is None:
        with Progress(transient=True) as progress:
            export_exactly(policy, "fp32", progress, out)
    else:
        from mobile_vla_models.convert.export import export_measured
        from mobile_vla_models.convert.summary import receipt_tables
        from mobile_vla_models.data.frames import read_runs

        config = exportable(policy)
        runs = read_runs(frames, config.image, config.dt, frame_count)
        with Progress(transient=True) as progress:
            receipt = export_measured(policy, dtype.value, runs, max_action_error, force, progress, out)
        console.print(*receipt_tables(receipt, "export"))
    console.print(f"export written to {export_folder(policy, out)}", markup=False)
