"""The console as a program."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path

import torch
from rich.console import Console as Terminal
from rich.markup import escape

from ..policy import VLAPolicy
from .errors import ConsoleError
from .line_history import history_file, line_history
from .session import Camera
from .shell import Console
from .tables import precision


def run_console(path: Path, device: str = "cpu", dtype: str | None = None, camera: Camera | None = None) -> None:
    """Load a policy and carry out commands from the terminal, or from a pipe, until they end.

    Args:
        path: policy directory.
        device: torch device.
        dtype: precision to load it in; None: as it is stored.
        camera: gives the next frame of a topic; None: there are no topics.

    Raises:
        ConsoleError: there is no such device.
        PolicyDirectoryError: the directory is missing, incomplete or corrupt.
        ValueError: unknown dtype.
    """
    _check_device(device)
    terminal = Terminal()
    wish = {} if dtype is None else {"dtype": dtype}
    with terminal.status(escape(f"loading {path}")):
        policy = VLAPolicy.from_pretrained(path, device=device, **wish)
    terminal.print(
        f"{escape(str(path))}: {policy.model.parameter_count():,} parameters, {precision(policy)}, on "
        f"{policy.model.device}; help lists the commands",
        highlight=False,
        soft_wrap=True,
    )
    with line_history(history_file()) if sys.stdin.isatty() else nullcontext():
        Console(policy, terminal, camera).run()


def _check_device(name: str) -> None:
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConsoleError(f"device {name!r} is none: expected such as cpu or cuda") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConsoleError(f"device {name!r} is not there: this torch finds {torch.cuda.device_count()} CUDA devices")
