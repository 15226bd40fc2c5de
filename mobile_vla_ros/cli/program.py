"""The `mobile-vla` program: recordings, training and evaluation from the command line.

Each subcommand calls one function of the packages; torch and the simulator are imported only when it runs.
"""

from __future__ import annotations

import sys

import typer
from rich.console import Console
from rich.markup import escape

from mobile_vla_models import MobileVLAError

from ..bringup.errors import BringUpError
from ..sim.gl import RendererError
from . import benchmark, console, convert, data, doctor, evaluate, export, faults, simulate, train

USER_ERRORS = (MobileVLAError, RendererError, BringUpError, OSError)

app = typer.Typer(
    help="Wheeled robots that follow instructions in words: recordings, training, evaluation.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
)
app.add_typer(convert.app, name="convert")
app.add_typer(data.app, name="data")
for command in (
    train.train,
    train.verify_gradients,
    train.assemble,
    simulate.record,
    simulate.render_views,
    evaluate.evaluate,
    export.export,
    console.console,
    doctor.doctor,
    faults.faults,
    benchmark.benchmark,
    benchmark.benchmark_model,
    benchmark.benchmark_checkpoint,
    benchmark.benchmark_node,
    benchmark.benchmark_training,
):
    app.command()(command)


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
