"""What a policy makes of real frames, and how far that is from what its original makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..data.frames import Run
from ..memory.process import PeakAnonymous, trim_heap
from ..policy import VLAPolicy
from ..receipt import ActionError
from ..weights import give_back


@dataclass(frozen=True)
class Outputs:
    """What a policy made of some frames.

    Attributes:
        features: float32 (frames, width), what the head was fed with of each frame.
        continuous, binary: (frames, chunk, k) in their units, (frames, chunk, m).
        workspace: bytes of anonymous memory at the peak, beside what there was before.
    """

    features: NDArray[np.float32]
    continuous: NDArray[np.float32]
    binary: NDArray[np.float32]
    workspace: int


def outputs(policy: VLAPolicy, runs: Sequence[Run]) -> Outputs:
    """Run a policy over frames; of weights in files nothing stays in memory."""
    seen: list[Tensor] = []
    reader: nn.Module | None = policy.model.fusion if policy.model.fusion is not None else policy.model.head
    if reader is None:
        raise ValueError("a policy that speaks its actions has no features to compare")

    def watch(_: nn.Module, arguments: tuple[Tensor | dict[str, Tensor], ...]) -> None:
        given = arguments[0]
        parts = [given] if isinstance(given, Tensor) else [given[name] for name in policy.config.features]
        # Of the newest frame, whether the window comes along or not.
        seen.append(torch.cat([part.reshape(-1, part.shape[-1])[-1].float().cpu() for part in parts]))

    chunks = []
    # What the C library keeps of freed memory would hide what a step takes.
    trim_heap()
    handle = reader.register_forward_pre_hook(watch)
    try:
        with PeakAnonymous() as peak:
            for run in runs:
                policy.reset()
                chunks += [policy.step(frame, run.instruction) for frame in run.frames]
    finally:
        handle.remove()
        policy.reset()
    give_back(policy.model)
    return Outputs(
        features=torch.stack(seen).numpy(),
        continuous=np.stack([chunk.continuous for chunk in chunks]),
        binary=np.stack([chunk.binary for chunk in chunks]),
        workspace=max(0, (peak.peak or 0) - (peak.before or 0)),
    )


def action_errors(policy: VLAPolicy, original: Outputs, converted: Outputs) -> tuple[ActionError, ...]:
    """Of each continuous action, over all frames and steps of their chunks."""
    errors = np.abs(converted.continuous - original.continuous)
    spec = policy.config.action
    width = spec.maximum - spec.minimum
    return tuple(
        ActionError(
            name=action.name,
            unit=action.unit,
            mean=float(np.nan_to_num(errors[..., number].mean(), nan=0.0)),
            maximum=float(np.nan_to_num(errors[..., number].max(), nan=0.0)),
            share=float(np.nan_to_num(errors[..., number].max() / width[number], nan=0.0)),
        )
        for number, action in enumerate(spec.continuous)
    )


def feature_error(original: Outputs, converted: Outputs) -> float | None:
    """Relative L2 error of the features; None where some are not finite."""
    difference = converted.features.astype(np.float64) - original.features
    error = float(np.linalg.norm(difference) / np.linalg.norm(original.features.astype(np.float64)))
    return error if np.isfinite(error) else None


def not_finite_share(converted: Outputs) -> float:
    """Share of numbers that are not finite."""
    values = np.concatenate([converted.features.ravel(), converted.continuous.ravel(), converted.binary.ravel()])
    return float((~np.isfinite(values)).mean())
