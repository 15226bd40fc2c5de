"""Writing a policy's lean parts as ONNX graphs.

```
onnx/export.json    what it is, and of which weights
onnx/vision.onnx    pixels -> latents, pooled
onnx/text.onnx      latents, words, source, positions, read -> feature
onnx/clip.onnx      pixels[, prompts] -> CLIP's features
onnx/fusion.onnx    features -> fused
onnx/head.onnx      window -> continuous[, binary]
onnx/*.data         weights of the graph of that name
onnx/receipt.json   of an export in fewer bits: error against the policy (models/convert/export.py)
```

Only the parts that the policy's actions depend on are there. Weights go from the policy's file to the graph's one at a
time: neither is ever in memory as a whole.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import get_args

import onnx
import onnx_ir as ir
import torch
from onnx_ir.passes import PassError
from onnx_ir.passes.common import ClearMetadataAndDocStringPass
from onnxscript.optimizer import optimize_ir
from rich.progress import Progress

from ..configuration import PolicyConfig
from ..errors import PolicyDirectoryError
from ..hashing import sha256_of
from ..policy_directory import read_config
from ..policy_entries import CONFIG, WEIGHTS, check_entries
from ..precision import uniform
from ..quantization.precision import Precision
from .onnx_graphs import OPSET, Graph, lean_graphs, trace
from .onnx_manifest import FILE, FOLDER, Dtype, Export, GraphFile, InputFile, new_export
from .onnx_quantize import quantise_products
from .onnx_weights import WeightFile, fold_transposes, put_weights
from .parts import why_not_lean

# These stay float32, see `TOWERS`.
_EXACT = ("fusion", "head")
# Bytes; smaller initialisers stand in the graph itself. Larger ones begin at a page, so that they can be mapped.
_INLINE, _PAGE = 1024, 4096


def export(
    policy: str | PathLike[str], dtype: Dtype, progress: Progress, directory: str | PathLike[str] | None = None
) -> Path:
    """Export a policy directory's lean parts; see `staged_export`.

    Returns:
        the directory written.
    """
    with staged_export(policy, dtype, progress, directory):
        return export_folder(policy, directory)


@contextmanager
def staged_export(
    policy: str | PathLike[str], dtype: Dtype, progress: Progress, directory: str | PathLike[str] | None = None
) -> Iterator[tuple[Path, Export]]:
    """An export under a temporary name, which takes its place at the end; on an error nothing of it is left.

    Args:
        policy: the directory; its weights are fp32, bf16 or fp16.
        dtype: of the towers; int8: their matrix products in 8 bits, for CPUs. Fusion and head are float32.
        progress: shows the bytes written, graph by graph.
        directory: to write; None: `onnx` in the policy's. An older export is replaced when the new one is complete.

    Yields:
        the folder that is to take its place, complete, and what it says of itself.

    Raises:
        PolicyDirectoryError: no policy directory, one whose step is no lean one or whose weights are quantised, weights
            that do not fit it, or beyond the numbers of `dtype`; or `directory` is something else than an export.
        ValueError: unknown dtype.
    """
    if dtype not in get_args(Dtype):
        raise ValueError(f"dtype must be one of {', '.join(get_args(Dtype))}, got {dtype!r}")
    root = Path(policy)
    config = exportable(root)
    weights = WeightFile(root / WEIGHTS)
    towers = "fp16" if dtype == "fp16" else "fp32"
    precision = uniform(towers).model_copy(update={"head": Precision.FP32})
    wanted = config.model_copy(update={"precision": precision})
    with _staged(export_folder(root, directory)) as staging:
        graphs = {
            graph.name: _write(graph, weights, staging, progress, rounded=dtype == "int8" and graph.name not in _EXACT)
            for graph in lean_graphs(wanted)
        }
        made = new_export(dtype, sha256_of(root / WEIGHTS), OPSET, torch.__version__, onnx.__version__, graphs)
        made.save(staging)
        yield staging, made


def export_folder(policy: str | PathLike[str], directory: str | PathLike[str] | None) -> Path:
    """Where a policy's export lies: in `directory`, or in the policy's own."""
    return Path(directory) if directory is not None else Path(policy) / FOLDER


def exportable(root: Path) -> PolicyConfig:
    """The configuration of a policy directory that has lean graphs.

    Raises:
        PolicyDirectoryError: no policy directory, or why it has none.
    """
    check_entries(root)
    config = read_config(root / CONFIG)
    reason = why_not_lean(config)
    if reason is not None:
        raise PolicyDirectoryError(f"{root} cannot be exported to ONNX: {reason}")
    for part, precision in config.precision.parts.items():
        if precision.quantised:
            raise PolicyDirectoryError(
                f"{root} cannot be exported to ONNX: its precision.{part} is {precision.value}, "
                "expected fp32, bf16 or fp16; export the policy that it was converted from"
            )
    return config


def _write(graph: Graph, weights: WeightFile, folder: Path, progress: Progress, *, rounded: bool) -> GraphFile:
    name, data = f"{graph.name}.onnx", f"{graph.name}.data"
    task = progress.add_task(name, total=None)
    model = trace(graph)
    put_weights(model, graph, weights)
    # Before the optimiser, which would turn them in memory.
    fold_transposes(model)
    _optimise(model)
    if rounded:
        quantise_products(model)
    # Names of files and lines of this machine, and for every node.
    ClearMetadataAndDocStringPass()(model)
    tensors = [value.const_value for value in model.graph.initializers.values() if value.const_value is not None]
    large = [tensor.nbytes for tensor in tensors if tensor.nbytes > _INLINE]
    progress.update(task, total=sum(large))

    def show(tensor: ir.TensorProtocol, _: object) -> None:
        progress.advance(task, tensor.nbytes)

    ir.save(
        model,
        folder / name,
        external_data=data,
        size_threshold_bytes=_INLINE,
        alignment=_PAGE,
        align_threshold=0,
        callback=show,
    )
    files = {file: (folder / file).stat().st_size for file in (name, data) if (folder / file).exists()}
    inputs = {
        given.name: InputFile.model_validate({"dtype": str(given.dtype).removeprefix("torch."), "sizes": given.sizes})
        for given in graph.inputs
    }
    return GraphFile(
        inputs=inputs, outputs={str(value.name): _sizes(value) for value in model.graph.outputs}, files=files
    )


def _optimise(model: ir.Model) -> None:
    """Fold what is constant; small weights are read, and an error in that is the error."""
    try:
        optimize_ir(model)
    except PassError as error:
        reason: BaseException | None = error
        while reason is not None and not isinstance(reason, PolicyDirectoryError):
            reason = reason.__cause__
        raise reason or error from error


def _sizes(value: ir.Value) -> tuple[int, ...]:
    if value.shape is None or not all(isinstance(size, int) for size in value.shape):
        raise TypeError(f"output {value.name} has shape {value.shape}, expected numbers")
    return tuple(int(size) for size in value.shape.numpy())


@contextmanager
def _staged(target: Path) -> Iterator[Path]:
    """A folder under a temporary name beside `target`, renamed to it at the end; on an error it is removed."""
    if target.exists() and not (target / FILE).is_file():
        raise PolicyDirectoryError(f"{target} exists and is not an export ({FILE} is missing); it is left as it is")
    staging = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        staging.chmod(0o755)
        yield staging
        if target.exists():
            shutil.rmtree(target)
        staging.rename(target)
    finally:
        if staging.exists():
            shutil.rmtree(staging)
