"""What a stage resumes from: one file, written aside, then renamed."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.optim import Optimizer

from ..errors import DataError
from .ema import WeightAverage

# Whole tensors whatever the processes share, on the first process's CPU; what does not train is not in it.
_WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=True)
_PARTIAL = StateDictOptions(full_state_dict=True, ignore_frozen_params=True, strict=False)


@dataclass
class Progress:
    """How far a stage is.

    Attributes:
        step: optimizer steps that are done.
        best: lowest validation loss so far; None before the first.
        since_best: validations since then.
        finished: whether the last step is done, or patience was over.
    """

    step: int = 0
    best: float | None = None
    since_best: int = 0
    finished: bool = False


class Checkpoint:
    """Weights that train, their average, the optimizer's moments and the progress of a stage.

    Args:
        path: of the file.
        fingerprint: of all that makes the run what it is; a file of another one is refused.
        module: prepared for this process.
        optimizer: of it.
        average: of its weights, or None.
        scaler: of the losses in fp16, or None.
    """

    def __init__(
        self,
        path: Path,
        fingerprint: str,
        module: nn.Module,
        optimizer: Optimizer,
        average: WeightAverage | None,
        scaler: Any,
    ) -> None:
        self._path, self._fingerprint = path, fingerprint
        self._module, self._optimizer = module, optimizer
        self._average, self._scaler = average, scaler

    def save(self, progress: Progress, *, write: bool) -> None:
        """Write the state; every process calls it, the one with `write` has the file."""
        state: dict[str, Any] = {
            "fingerprint": self._fingerprint,
            "progress": vars(progress),
            "weights": get_model_state_dict(self._module, options=_WHOLE),
            "optimizer": get_optimizer_state_dict(self._module, self._optimizer, options=_WHOLE),
        }
        if self._average is not None:
            with self._average.swapped():
                averaged = get_model_state_dict(self._module, options=_WHOLE)
                # On a CPU these are the parameters themselves, which are about to change back.
                state["average"] = copy.deepcopy(averaged)
        if self._scaler is not None:
            state["scaler"] = self._scaler.state_dict()
        if write:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            temporary = self._path.with_suffix(".part")
            torch.save(state, temporary)
            temporary.replace(self._path)

    def resume(self) -> Progress:
        """Load the file if there is one; the progress so far.

        Raises:
            DataError: the file is damaged or of another run (delete it to begin anew).
        """
        if not self._path.exists():
            return Progress()
        try:
            state = torch.load(self._path, weights_only=True, map_location="cpu")
            if state["fingerprint"] != self._fingerprint:
                raise DataError(f"{self._path} is of another configuration or other data; delete it to begin anew")
            self._check_weights(state["weights"])
            if self._average is not None:
                self._check_weights(state["average"])
                set_model_state_dict(self._module, state["average"], options=_PARTIAL)
                self._average.restart()
            set_model_state_dict(self._module, state["weights"], options=_PARTIAL)
            set_optimizer_state_dict(self._module, self._optimizer, state["optimizer"], options=_PARTIAL)
            if self._scaler is not None:
                self._scaler.load_state_dict(state["scaler"])
            return Progress(**state["progress"])
        except (KeyError, RuntimeError, TypeError, EOFError, UnpicklingError) as error:
            raise DataError(f"checkpoint {self._path} cannot be used; delete it to begin anew ({error})") from error

    def _check_weights(self, stored: dict[str, Any]) -> None:
        """What does not train is in no file, so that torch cannot be asked to be strict: what trains must be."""
        differing = sorted(stored.keys() ^ get_model_state_dict(self._module, options=_WHOLE).keys())
        if differing:
            raise DataError(f"{self._path} holds other weights than those that train: {', '.join(differing[:5])}")
