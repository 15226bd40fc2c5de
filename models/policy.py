"""A policy as a robot uses it: load from a directory, then one call per frame."""

from __future__ import annotations

from collections import deque
from os import PathLike

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .action import ActionChunk
from .configuration import PolicyConfig
from .golden import GoldenVectors
from .instruction import InstructionEncoder
from .modeling import EncodedInstruction, VLAModel
from .policy_directory import PolicyParts, load_policy, save_policy
from .preprocessing import resize

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class VLAPolicy:
    """A vision-language-action policy with its recurrent history.

    One `step` is one recurrent step: the caller hands over one frame per `config.dt` seconds and calls `reset` when
    the instruction changes. Text is encoded once per instruction, each frame once; the LSTM runs over cached features.
    """

    def __init__(self, parts: PolicyParts) -> None:
        self.config: PolicyConfig = parts.config
        self.model: VLAModel = parts.model.eval()
        self.encoder: InstructionEncoder = parts.encoder
        self._history: deque[dict[str, Tensor]] = deque(maxlen=self.config.window)
        self._instruction: str | None = None
        self._encoded: EncodedInstruction | None = None

    @classmethod
    def from_pretrained(cls, path: str | PathLike[str], device: str = "cpu", dtype: str = "float32") -> VLAPolicy:
        """Load a policy directory and prove it on its golden vectors.

        Args:
            path: local policy directory.
            device: torch device.
            dtype: float32, bfloat16 or float16.

        Raises:
            PolicyDirectoryError: anything missing, unknown, corrupt or of the wrong shape; or golden vectors missed.
            ValueError: unknown dtype.
        """
        if dtype not in DTYPES:
            raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, got {dtype!r}")
        parts, golden = load_policy(path)
        parts.model.to(device=torch.device(device), dtype=DTYPES[dtype])
        policy = cls(parts)
        golden.check(policy, tolerance=1e-4 if dtype == "float32" else 5e-2)
        policy.reset()
        return policy

    def save_pretrained(self, path: str | PathLike[str], training: dict[str, object], model_card: str) -> None:
        """Write a policy directory, whole or not at all; golden vectors are computed anew from this policy.

        Args:
            path: directory to write; must not exist or be a policy directory, which is then replaced.
            training: content of training.json (data, seeds, metrics).
            model_card: content of README.md.

        Raises:
            PolicyDirectoryError: `path` exists and is something else.
        """
        golden = GoldenVectors.record(self, self.config.image.size)
        save_policy(PolicyParts(self.config, self.model, self.encoder), golden, path, training, model_card)

    def reset(self) -> None:
        """Forget the history and the instruction; call it when the instruction changes or a run begins."""
        self._history.clear()
        self._instruction = None
        self._encoded = None

    @torch.inference_mode()
    def step(self, rgb: NDArray[np.uint8], instruction: str) -> ActionChunk:
        """Take one frame of the run and say what to do.

        Args:
            rgb: uint8 (height, width, 3), any size.
            instruction: the sentence that holds since the last `reset`.

        Raises:
            ValueError: wrong dtype or shape, empty or over-long instruction, or an instruction that changed
                without a `reset` (history of another instruction would steer the robot).
        """
        picture = resize(rgb, self.config.image.size)
        if self._encoded is None:
            self._encoded = self.encoder(self.model, [instruction])
            self._instruction = instruction
        elif instruction != self._instruction:
            raise ValueError(f"instruction changed from {self._instruction!r} to {instruction!r} without a reset()")
        pictures = torch.from_numpy(np.ascontiguousarray(picture)).unsqueeze(0).to(self.model.device)
        self._history.append(self.model.frame_features(pictures, self._encoded))
        window = {name: torch.stack([frame[name] for frame in self._history], dim=1) for name in self._history[0]}
        continuous, binary = self.model.act(window)
        return self._chunk(continuous[0, -1].float().cpu(), binary[0, -1].float().cpu())

    def _chunk(self, continuous: Tensor, binary: Tensor) -> ActionChunk:
        spec = self.config.action
        unit = (continuous.numpy() + 1.0) / 2.0
        names = [action.name for action in spec.continuous]
        columns = [names.index("linear_x"), names.index("angular_z")]
        velocity = (spec.minimum + unit * (spec.maximum - spec.minimum))[:, columns]
        stop = torch.sigmoid(binary[:, spec.binary.index("stop")]).numpy()
        return ActionChunk(np.ascontiguousarray(velocity, np.float32), stop.astype(np.float32), self.config.dt)
