"""An ONNX export with its receipt: how far its actions lie from those of the policy that it was made of."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import torch
from rich.progress import Progress

from ..data.frames import Run
from ..engine.onnx_engine import OnnxEngine
from ..engine.onnx_export import exportable, staged_export
from ..engine.onnx_manifest import Dtype
from ..fit import MAPPED
from ..policy import VLAPolicy
from ..receipt import Receipt
from .measure import Made, receipt_of, run_over


def export_measured(
    policy: str | PathLike[str],
    dtype: Dtype,
    runs: list[Run],
    bound: float,
    force: bool,
    progress: Progress,
    directory: str | PathLike[str] | None = None,
) -> Receipt:
    """Export a policy, whole and with its receipt or not at all.

    The policy runs first, on its weights as they are stored, then its export in ONNX Runtime: memory is that of one of
    them.

    Args:
        policy: the directory; see `staged_export`.
        dtype: see `staged_export`.
        runs: of real frames, to measure on.
        bound: greatest error of an action that is accepted, as a share of its range.
        force: accept more.
        progress: shows frames, and bytes written.
        directory: see `staged_export`.

    Raises:
        DataError: the policy does not take the frames, or their sentence.
        MemoryShortageError: too little memory for the policy.
        PolicyDirectoryError: see `staged_export`; or the policy, or its export, does not load.
        PrecisionError: the export moves an action by more than the bound, or gives what is not finite.
    """
    root = Path(policy)
    exportable(root)
    tried = VLAPolicy.from_pretrained(root, weights=MAPPED)
    # First of all: what the policy does not take of these frames shows before anything large is written.
    before = run_over("policy", tried, runs, progress)
    with staged_export(root, dtype, progress, directory) as (staging, export):
        tried.engine = OnnxEngine(root, tried.model, torch.get_num_threads(), staging)
        after = run_over("export", tried, runs, progress)
        made = Made(
            source=root.resolve().name,
            sha256=export.sha256,
            precision=export.precision,
            parameters=tried.model.parameter_count(),
            disk=export.disk,
            weights=export.disk,
        )
        receipt = receipt_of(made, tried.config.action, runs, before, after, bound, force)
        receipt.save(staging)
    return receipt
