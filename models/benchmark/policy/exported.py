"""A policy of random weights at full size in the ONNX engine, through files as on a robot."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.progress import Progress

from ...convert.hybrid_layout import FULL_SIZE, HybridLayout
from ...engine.onnx_export import export
from ...engine.onnx_manifest import Dtype
from ...fit import MAPPED
from ...policy import VLAPolicy
from .full_size import random_policy


@contextmanager
def exported_policy(dtype: Dtype, folder: Path, layout: HybridLayout = FULL_SIZE) -> Iterator[VLAPolicy]:
    """A policy whose weights lie in a file of float32 and whose export runs; the files go when it is closed.

    Args:
        dtype: of the export.
        folder: for the files; at full size 8 GB of weights, and as much again for an export in fp32.
        layout: whose sizes it has.

    Raises:
        OSError: the files cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="exported.", dir=folder) as place:
        path = Path(place) / "policy"
        # Not bound to a name: as much memory as the file has bytes.
        random_policy(layout, "fp32").save_pretrained(path, {"weights": "random"}, "# Random weights\n")
        with Progress(transient=True) as progress:
            export(path, dtype, progress)
        yield VLAPolicy.from_pretrained(path, engine="onnx", weights=MAPPED)
