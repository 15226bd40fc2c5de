"""What an exported policy's folder says of itself: export.json, and whether it belongs to the policy beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from ..configuration import PrecisionConfig, Strict
from ..documents import findings
from ..errors import PolicyDirectoryError
from ..hashing import sha256_of
from ..quantization.precision import Precision

FOLDER, FILE = "onnx", "export.json"
Dtype = Literal["fp32", "fp16", "int8"]
# What the towers' products are computed in. Fusion and head are float32: most of the error would be theirs, they are
# small, and ONNX Runtime 1.31 crashes on an LSTM of float16 on the CPU.
TOWERS: dict[Dtype, Precision] = {"fp32": Precision.FP32, "fp16": Precision.FP16, "int8": Precision.W8A8}
_VERSION = 1


class InputFile(Strict):
    """An input of a graph: its sizes, a name where they change from call to call."""

    dtype: Literal["float32", "int64"]
    sizes: tuple[int | str, ...]


class GraphFile(Strict):
    """A graph: inputs by name, sizes of its float32 outputs by name, bytes of its files by name."""

    inputs: dict[str, InputFile]
    outputs: dict[str, tuple[int, ...]]
    files: dict[str, int]


class Export(Strict):
    """The content of export.json.

    Attributes:
        version: of this document.
        dtype: that the towers compute in; int8: products in 8 bits, all else float32. Fusion and head are float32.
        sha256: of the policy's model.safetensors.
        opset: of ONNX.
        torch, onnx: versions that made it.
        graphs: by name.
    """

    version: int
    dtype: Dtype
    sha256: str
    opset: int
    torch: str
    onnx: str
    graphs: dict[str, GraphFile]

    @property
    def precision(self) -> PrecisionConfig:
        """What its parts compute in."""
        towers = TOWERS[self.dtype]
        return PrecisionConfig(vision=towers, text=towers, clip=towers, head=Precision.FP32)

    @property
    def disk(self) -> int:
        """Bytes of its graphs and their weights."""
        return sum(size for graph in self.graphs.values() for size in graph.files.values())

    def save(self, folder: Path) -> None:
        """Write it."""
        (folder / FILE).write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")


def new_export(dtype: Dtype, sha256: str, opset: int, torch: str, onnx: str, graphs: dict[str, GraphFile]) -> Export:
    """An export of the present version."""
    return Export(version=_VERSION, dtype=dtype, sha256=sha256, opset=opset, torch=torch, onnx=onnx, graphs=graphs)


def read_export(folder: Path, weights: Path) -> Export:
    """Read export.json, and check the folder against it.

    Args:
        folder: of the export.
        weights: the policy's model.safetensors.

    Raises:
        PolicyDirectoryError: there is none, of another version, of other weights, or a file is missing or cut.
    """
    path = folder / FILE
    if not path.is_file():
        raise PolicyDirectoryError(f"{path} does not exist: the policy was not exported to ONNX")
    try:
        export = Export.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        raise PolicyDirectoryError(f"{path}: {findings(error)}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyDirectoryError(f"{path}: not readable ({error})") from error
    if export.version != _VERSION:
        raise PolicyDirectoryError(f"{path}: version is {export.version}, expected {_VERSION}: export the policy anew")
    for name, size in ((name, size) for graph in export.graphs.values() for name, size in graph.files.items()):
        found = (folder / name).stat().st_size if (folder / name).is_file() else None
        if found != size:
            has = "does not exist" if found is None else f"has {found} bytes"
            raise PolicyDirectoryError(f"{folder / name} {has}, expected {size} bytes: export the policy anew")
    try:
        found_sha256 = sha256_of(weights)
    except OSError as error:
        raise PolicyDirectoryError(f"{weights}: not readable ({error})") from error
    if found_sha256 != export.sha256:
        raise PolicyDirectoryError(
            f"{folder} was exported from other weights: sha256 of {weights.name} is {found_sha256}, "
            f"expected {export.sha256}: export the policy anew"
        )
    return export
