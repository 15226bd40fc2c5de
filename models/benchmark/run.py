"""All comparisons, as one table."""

from __future__ import annotations

import platform

import torch
from rich.console import Console
from rich.table import Table

from .checkpointing import training_memory
from .pre import frames_in_one_sequence
from .spoken import spoken_actions
from .subject import PARTS, subject


def benchmark(threads: int, repeats: int) -> None:
    """Measure and print.

    Args:
        threads: of torch, on the CPU.
        repeats: of each timing; medians are shown.
    """
    torch.set_num_threads(threads)
    console = Console()
    parameters = subject("discrete", "none").model.parameter_count()
    console.print(
        f"random weights, {parameters / 1e6:.0f} M parameters ({PARTS}), float32, batch 1, {threads} threads, "
        f"{platform.machine()} CPU, torch {torch.__version__}; medians of {repeats}, both sides in turn"
    )
    table = Table("measured", "without", "with", "without / with")
    for row in (*spoken_actions(repeats), *frames_in_one_sequence(repeats), *training_memory(threads)):
        table.add_row(row.name, row.shown(row.without), row.shown(row.kept), f"{row.without / row.kept:.2f}")
    console.print(table)
