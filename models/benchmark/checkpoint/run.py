"""All stages, as tables."""

from __future__ import annotations

import platform
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from ...convert.hybrid_layout import FULL_SIZE
from ...fit import MAPPED, MEMORY
from ...memory.units import size_text
from . import stages
from .process import Measured, measure

PRECISIONS = ("fp32", "bf16", "fp16", "int8", "w8a8")
CHECKPOINT = "checkpoint.pth"
_WIDTH = 150
_COLUMNS = ("work", "s", "peak RSS", "peak anonymous", "RSS after", "of naive peak", "what came of it")


def benchmark(folder: Path, frames: Path, threads: int, count: int, precisions: tuple[str, ...] = PRECISIONS) -> None:
    """Measure and print, beside the naive way.

    Args:
        folder: for the random checkpoint (7.8 GB, kept for the next time) and one policy directory at a time.
        frames: recordings, see `read_runs`.
        threads: of torch.
        count: frames that receipts are measured on.
        precisions: to convert to.
    """
    console = Console(width=_WIDTH)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / CHECKPOINT
    if not path.exists():
        console.print(f"writing a random checkpoint of {path.name}")
        measure(threads, stages.generate, path, FULL_SIZE)
    size = path.stat().st_size
    console.print(
        f"random weights, {size_text(size)} in torch.save's format, float32; {threads} threads, {platform.machine()} "
        f"CPU ({torch.backends.cpu.get_cpu_capability()}), torch {torch.__version__}; memory of the whole process"
    )
    table = Table(*_COLUMNS)
    naive = measure(threads, stages.load_naively, path, frames)
    plain = naive.result
    naive = replace(naive, seconds=plain.seconds, rss=plain.rss, anonymous=plain.anonymous)
    _row(table, "naive: torch.load, load_state_dict", naive, naive, f"{plain.parameters:,} parameters")
    inspected = measure(threads, stages.inspect_file, path)
    _row(table, "inspect", inspected, naive, f"{inspected.result:,} parameters")
    console.print(table)
    receipts = Table(
        "precision", "on disk", "features", "greatest action error", "of range", "not finite", "against plain"
    )
    for precision in precisions:
        table = Table(*_COLUMNS)
        out = folder / precision
        made = measure(threads, stages.convert_to, path, precision, frames, count, out)
        _row(table, f"convert to {precision}", made, naive, f"workspace {size_text(made.result['workspace'])}")
        for weights in (MEMORY, MAPPED):
            loaded = measure(threads, stages.load_policy, out, weights)
            said = f"peak {loaded.peak_rss / loaded.result:.2f} x the {size_text(loaded.result)} of weights"
            _row(table, f"load {precision}, {weights}", loaded, naive, said)
            ran = measure(threads, stages.run_policy, out, frames, weights)
            resident = ", ".join(
                f"{name} {size_text(ran.result[name][0])} of {size_text(ran.result[name][1])}"
                for name in ("words", "vision")
            )
            said = f"resident: {resident}; blocks {ran.result['blocks']}"
            _row(table, f"run {precision}, {weights}", ran, naive, said)
        console.print(table)
        worst = max(made.result["actions"], key=lambda action: action["share"])
        difference = float(np.abs(ran.result["action"] - plain.action).max())
        receipts.add_row(
            precision,
            size_text(made.result["disk"]),
            f"{made.result['features']:.1e}",
            f"{worst['maximum']:.2e} {worst['unit']}",
            f"{worst['share']:.2%}",
            f"{made.result['not_finite']:.0%}",
            f"{difference:.1e} = {difference / float(np.abs(plain.action).max()):.1e} relative",
        )
        shutil.rmtree(out)
    console.print(receipts)


def _row(table: Table, work: str, measured: Measured, naive: Measured, said: str) -> None:
    table.add_row(
        work,
        f"{measured.seconds:.1f}",
        size_text(measured.peak_rss),
        size_text(measured.peak_anonymous),
        size_text(measured.rss),
        f"{measured.peak_rss / naive.peak_rss:.2f}",
        said,
    )
