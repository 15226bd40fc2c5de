"""`mobile-vla console`: a policy at a prompt."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def console(
    policy: Annotated[Path, typer.Argument(help="policy directory")],
    device: Annotated[str, typer.Option(help="torch device")] = "cpu",
    dtype: Annotated[str | None, typer.Option(help="float32, bfloat16 or float16; as stored if not given")] = None,
) -> None:
    """Try a policy at a prompt: single steps, latency, memory; `help` lists the commands."""
    from mobile_vla_models.console import run_console

    from .camera_topic import receive_frame

    run_console(policy, device, dtype, receive_frame)
