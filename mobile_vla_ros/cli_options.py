"""Options that several commands of `mobile-vla` have."""

from __future__ import annotations

from typing import Annotated

import typer

EngineName = Annotated[
    str, typer.Option("--engine", help="torch, torch-compile, torch-cuda-graphs (CUDA), or onnx for an export")
]
