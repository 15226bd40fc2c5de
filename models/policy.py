"""A policy as a robot uses it: load from a directory, then one call per frame."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .action import ActionChunk
from .configuration import PolicyConfig
from .engine.cuda import to_device, to_host
from .engine.engine import ONNX, Engine, Running, open_engine
from .engine.onnx_manifest import FOLDER
from .engine.torch_engine import TorchEngine
from .errors import PrecisionError
from .fit import AUTO, WEIGHTS
from .golden import GoldenDifference, GoldenVectors
from .instruction import InstructionEncoder
from .loaded_files import LoadedFiles
from .memory import trim_heap
from .modeling import VLAModel
from .policy_directory import PolicyParts, load_policy, save_policy
from .preprocessing import resize
from .sentence import normalize_instruction
from .weights import change_dtype, give_back, instruction_modules, keep_for_instructions

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class VLAPolicy:
    """A vision-language-action policy with its history.

    One `step` is one recurrent step: the caller hands over one frame per `config.dt` seconds and calls `reset` when
    the instruction changes. Text is encoded once per instruction, each picture once.

    Attributes:
        golden_difference: how well the golden vectors were reproduced at loading; None for a policy that has none.
        files: Files that it was loaded from.
    """

    def __init__(self, parts: PolicyParts, engine: Engine | None = None) -> None:
        self.config: PolicyConfig = parts.config
        self.model: VLAModel = parts.model.eval()
        self.encoder: InstructionEncoder = parts.encoder
        self.engine: Engine = engine if engine is not None else TorchEngine(self.model)
        self.golden_difference: GoldenDifference | None = None
        self.files = LoadedFiles()
        self._history: Running | None = None
        self._instruction: str | None = None

    @classmethod
    def from_pretrained(
        cls,
        path: str | PathLike[str],
        device: str = "cpu",
        dtype: str = "auto",
        engine: str = "torch",
        weights: str = AUTO,
    ) -> VLAPolicy:
        """Load a policy directory and prove it on its golden vectors, which also warms it up (see `warm_up`).

        Args:
            path: local policy directory.
            device: torch device.
            dtype: float32, bfloat16 or float16, of all that is not quantised; auto: as it is stored.
            engine: what computes the steps; see `open_engine`.
            weights: Where weights on the CPU go. "memory": they are read into memory, and a change of the directory
                does not reach the policy. "mapped": they stay in the file until they are used, and a step after the
                file was changed is refused. "auto": in memory if they fit, else mapped.

        Raises:
            PolicyDirectoryError: anything missing, unknown, corrupt or of the wrong shape; or golden vectors missed; or
                a file that was changed meanwhile.
            ValueError: `weights` is none of these.
            PrecisionError: unknown dtype.
            MemoryShortageError: the device has not enough free memory.
        """
        if dtype != "auto" and dtype not in DTYPES:
            raise PrecisionError(f"dtype must be one of auto, {', '.join(DTYPES)}, got {dtype!r}")
        if weights not in WEIGHTS:
            raise ValueError(f"weights must be one of {', '.join(WEIGHTS)}, got {weights!r}")
        root = Path(path)
        files = LoadedFiles(root)
        with files.loading():
            loaded = load_policy(root, torch.device(device), weights, root / FOLDER if engine == ONNX else None)
            model = loaded.parts.model
            if dtype != "auto":
                change_dtype(model, DTYPES[dtype])
            policy = cls(loaded.parts, open_engine(engine, root, model, loaded.in_memory))
            if engine == ONNX and loaded.in_memory:
                keep_for_instructions(model)
            exact = policy.engine.exact
            policy.golden_difference = loaded.golden.check(policy, tolerance=1e-4 if exact else 5e-2)
        policy.files = files
        # What reading and the first steps needed for a moment is a hundred megabytes.
        trim_heap()
        return policy

    def save_pretrained(self, path: str | PathLike[str], training: dict[str, object], model_card: str) -> None:
        """Write a policy directory, whole or not at all; golden vectors are computed anew from this policy.

        Args:
            path: directory to write; must not exist or be a policy directory, which is then replaced.
            training: content of training.json (data, seeds, metrics).
            model_card: content of README.md.

        Raises:
            PolicyDirectoryError: `path` exists and is something else.
            ValueError: the weights are not float32; a directory keeps what training gave.
        """
        if self.model.dtype != torch.float32:
            raise ValueError(f"weights of {self.model.dtype} are not written: load the policy as float32 to save it")
        self.model.eval()
        golden = GoldenVectors.record(self, self.config)
        save_policy(PolicyParts(self.config, self.model, self.encoder), golden, path, training, model_card)

    def warm_up(self, instructions: Iterable[str]) -> None:
        """Take a step under each instruction, then forget it: what is done once is done.

        torch-compile compiles, and torch-cuda-graphs captures, at the first frame under an instruction of a new length
        (in tokens, rounded up). Loading did so for that of the golden vectors.

        Args:
            instructions: such as the robot will hear, one of each length.

        Raises:
            ValueError: see `step`.
        """
        size = self.config.image.size
        picture = np.zeros((size, size, 3), np.uint8)
        state = np.array([dimension.mean for dimension in self.config.state], np.float32)
        for instruction in instructions:
            self.reset()
            extra = dict.fromkeys(self.config.cameras[1:], picture)
            self.step(picture, instruction, state if len(state) else None, extra)
        self.reset()

    def reset(self) -> None:
        """Forget the history and the instruction; call it when the instruction changes or a run begins."""
        self._history = None
        self._instruction = None

    def step(
        self,
        rgb: NDArray[np.uint8],
        instruction: str,
        state: NDArray[np.float32] | None = None,
        extra_cameras: Mapping[str, NDArray[np.uint8]] | None = None,
    ) -> ActionChunk:
        """Take one frame of the run and say what to do.

        Args:
            rgb: uint8 (height, width, 3), any size; of the first of `config.cameras`.
            instruction: the sentence that holds since the last `reset`.
            state: float (S,), in the units of `config.state`; None if the policy takes none.
            extra_cameras: pictures of the other cameras, by name.

        Raises:
            PolicyDirectoryError: A mapped file of weights was changed since the policy was loaded.
            ValueError: wrong dtype or shape, cameras or state that are not those of the configuration, a state that is
                not finite, an empty or over-long instruction, or one that changed without a `reset` (history of
                another instruction would steer the robot).
        """
        with self.files.reading():
            return self._step(rgb, normalize_instruction(instruction), state, extra_cameras)

    def _step(
        self,
        rgb: NDArray[np.uint8],
        instruction: str,
        state: NDArray[np.float32] | None,
        extra_cameras: Mapping[str, NDArray[np.uint8]] | None,
    ) -> ActionChunk:
        first = self.config.cameras[0]
        if extra_cameras is not None and first in extra_cameras:
            raise ValueError(f"camera {first!r} is given twice: as `rgb`, and among the extra cameras")
        device = self.model.device
        pictures = to_device(self._pictures({first: rgb, **(extra_cameras or {})}), device)
        values = self._state(state)
        if self._history is None:
            with torch.inference_mode():
                self._history = self.engine.begin(self.encoder(self.model, [instruction]))
            self._give_back_words()
            self._instruction = instruction
        elif instruction != self._instruction:
            raise ValueError(f"instruction changed from {self._instruction!r} to {instruction!r} without a reset()")
        try:
            answer = self._history.step(pictures, None if values is None else to_device(values, device))
            continuous, binary = to_host(*(group.float() for group in answer))
        except Exception:
            # A frame that was taken half would stand in the history of all later ones.
            self.reset()
            raise
        return self._chunk(continuous, binary)

    def _give_back_words(self) -> None:
        """Drop what only the words needed from memory, until the next instruction; it stays where it is not mapped."""
        for module in instruction_modules(self.model):
            give_back(module)

    def _pictures(self, cameras: Mapping[str, NDArray[np.uint8]]) -> NDArray[np.uint8]:
        """uint8 (c, s, s, 3), in the order of the configuration."""
        if set(cameras) != set(self.config.cameras):
            raise ValueError(f"pictures of cameras {sorted(cameras)}, the policy takes {sorted(self.config.cameras)}")
        return np.stack([resize(cameras[name], self.config.image) for name in self.config.cameras])

    def _state(self, state: NDArray[np.float32] | None) -> NDArray[np.float32] | None:
        names = [dimension.name for dimension in self.config.state]
        if state is None:
            if names:
                raise ValueError(f"no state, the policy takes {names}")
            return None
        values = np.asarray(state, dtype=np.float32)
        if values.shape != (len(names),):
            raise ValueError(f"state has shape {values.shape}, the policy takes ({len(names)},): {names}")
        if not np.isfinite(values).all():
            raise ValueError(f"state is not finite: {dict(zip(names, values.tolist(), strict=True))}")
        return values

    def _chunk(self, continuous: Tensor, binary: Tensor) -> ActionChunk:
        spec = self.config.action
        share = (continuous.numpy() + 1.0) / 2.0
        values = spec.minimum + share * (spec.maximum - spec.minimum)
        return ActionChunk(
            continuous=np.ascontiguousarray(values, np.float32),
            binary=np.ascontiguousarray(binary.numpy(), np.float32),
            continuous_names=tuple(action.name for action in spec.continuous),
            binary_names=spec.binary,
            dt=self.config.dt,
        )
