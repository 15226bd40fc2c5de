"""The ONNX engine: a policy's exported parts in ONNX Runtime."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import torch

from ..modeling import EncodedInstruction, VLAModel
from ..policy_entries import WEIGHTS
from ..receipt import Receipt
from .history import LeanHistory
from .onnx_manifest import FOLDER, read_export
from .onnx_parts import OnnxParts
from .parts import Prepared, prepare


class OnnxEngine:
    """Runs an export of a policy; of the model itself only what an instruction needs is used.

    Args:
        policy: the policy's directory.
        model: its model, in evaluation mode. The towers' weights are not touched: where they lie in a mapped file, they
            take no memory.
        threads: of a session on the CPU; None: as ONNX Runtime thinks.
        directory: of the export; None: `onnx` in the policy's.
        in_memory: See `OnnxParts`.

    Attributes:
        dtype: of the export: fp32, fp16 or int8.
        exact: whether the parts compute in float32, with weights that are stored so: golden vectors of others are not
            those of a computation in float32.
        receipt: of the export; None if it has none.

    Raises:
        PolicyDirectoryError: no export, of another version, of other weights, incomplete, or not to be loaded; or a
            receipt that cannot be read.
    """

    name = "onnx"

    def __init__(
        self,
        policy: str | PathLike[str],
        model: VLAModel,
        threads: int | None = None,
        directory: str | PathLike[str] | None = None,
        in_memory: bool = False,
    ) -> None:
        root = Path(policy)
        folder = Path(directory) if directory is not None else root / FOLDER
        export = read_export(folder, root / WEIGHTS)
        self._model = model
        self._parts = OnnxParts(folder, export, model.config.window, threads, in_memory)
        self.dtype = export.dtype
        self.receipt = Receipt.load(folder)
        stored = {parameter.dtype for parameter in model.parameters()}
        self.exact = export.dtype == "fp32" and stored == {torch.float32}

    def describe(self) -> str:
        """What runs, where, and why not elsewhere, in a line."""
        return self._parts.describe()

    @torch.inference_mode()
    def begin(self, instruction: EncodedInstruction) -> LeanHistory:
        """The history of a run under one instruction (batch 1)."""
        made, device = prepare(self._model, instruction), self._parts.device
        prepared = Prepared(
            words=made.words.to(device, torch.float32),
            source=made.source.to(device),
            positions=made.positions.to(device, torch.float32),
            read=made.read.to(device),
            cameras=made.cameras.to(device),
            clip_text={name: value.to(device, torch.float32) for name, value in made.clip_text.items()},
            clip_prompts=made.clip_prompts.to(device, torch.float32),
        )
        return LeanHistory(self._model.config, self._parts, prepared)
