"""What several commands of `mobile-vla` have: options, and how they end."""

from __future__ import annotations

import signal
from typing import Annotated

import typer

EngineName = Annotated[
    str, typer.Option("--engine", help="torch, torch-compile, torch-cuda-graphs (CUDA), or onnx for an export")
]

Seed = Annotated[int, typer.Option(min=0, help="of the random series; the same seed gives the same result")]


def end_by_signals() -> None:
    """Have SIGINT and SIGTERM interrupt this process, so that however it ends it ends its children.

    One that was ignored, as SIGINT is in a shell's background jobs, would end nothing.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
