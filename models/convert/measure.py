"""What a policy makes of real frames, and how far that is from what its original makes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import Progress
from torch import Tensor, nn

from ..configuration import ActionSpec, PrecisionConfig
from ..data.frames import Run
from ..engine.engine import ONNX, Engine, Running
from ..engine.history import LeanHistory
from ..engine.parts import Parts, PassedOn
from ..engine.stages import rebuilt
from ..errors import DataError, MobileVLAError, PrecisionError
from ..memory.process import PeakAnonymous, trim_heap
from ..modeling import EncodedInstruction
from ..policy import VLAPolicy
from ..receipt import ActionError, Receipt
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


@dataclass(frozen=True)
class Made:
    """What was made of a source; see `Receipt`."""

    source: str
    sha256: str
    precision: PrecisionConfig
    parameters: int
    disk: int
    weights: int


def run_over(name: str, policy: VLAPolicy, runs: Sequence[Run], progress: Progress) -> Outputs:
    """Run a policy over frames; of weights in files nothing stays in memory.

    Args:
        name: of the policy, for `progress`.
        policy: with a head, whose features are looked at.
        runs: of frames.
        progress: shows that it runs.

    Raises:
        DataError: the policy does not take the frames, or their sentence.
    """
    task = progress.add_task(f"frames, {name}", total=None)
    with tried_on():
        made = _outputs(policy, runs)
    progress.update(task, total=1, completed=1)
    return made


@contextmanager
def tried_on() -> Iterator[None]:
    """What a policy's `step` refuses lies with the frames, or their sentence."""
    try:
        yield
    except MobileVLAError:
        raise
    except ValueError as error:
        raise DataError(f"the policy cannot be tried on these frames: {error}") from error


def receipt_of(
    made: Made,
    action: ActionSpec,
    runs: Sequence[Run],
    original: Outputs,
    converted: Outputs,
    bound: float,
    force: bool,
) -> Receipt:
    """The receipt of what was made, if its errors are accepted.

    Args:
        made: what it is.
        action: of the policy.
        runs: of the frames that both ran over.
        original: what the source made of these.
        converted: what it made of them.
        bound: greatest error of an action that is accepted, as a share of its range.
        force: accept more.

    Raises:
        PrecisionError: an action moves by more than that, or a number is not finite.
    """
    receipt = Receipt(
        source=made.source,
        sha256=made.sha256,
        precision=made.precision,
        parameters=made.parameters,
        disk=made.disk,
        weights=made.weights,
        workspace=converted.workspace,
        frames=sum(len(run.frames) for run in runs),
        runs=len(runs),
        features=_feature_error(original, converted),
        actions=_action_errors(action, original, converted),
        binary=float(abs(converted.binary - original.binary).max(initial=0.0)),
        not_finite=_not_finite_share(converted),
        bound=bound,
        forced=False,
    )
    if receipt.worst <= bound:
        return receipt
    if receipt.not_finite:
        raise PrecisionError(
            f"{receipt.not_finite:.2%} of what the policy gives in this precision is not finite: it cannot drive, in "
            "any case"
        )
    if force:
        return receipt.model_copy(update={"forced": True})
    worst = max(receipt.actions, key=lambda error: error.share)
    raise PrecisionError(
        f"in this precision {worst.name} moves by up to {worst.maximum:.3g} {worst.unit}, {worst.share:.1%} of its "
        f"range; at most {bound:.1%} is accepted (--max-action-error, --force)"
    )


def _outputs(policy: VLAPolicy, runs: Sequence[Run]) -> Outputs:
    seen: list[Tensor] = []
    chunks = []
    # What the C library keeps of freed memory would hide what a step takes.
    trim_heap()
    with _watched(policy, lambda features: seen.append(features.float().cpu())):
        try:
            with PeakAnonymous() as peak:
                for run in runs:
                    policy.reset()
                    chunks += [policy.step(frame, run.instruction) for frame in run.frames]
        finally:
            policy.reset()
    give_back(policy.model)
    return Outputs(
        features=torch.stack(seen).numpy(),
        continuous=np.stack([chunk.continuous for chunk in chunks]),
        binary=np.stack([chunk.binary for chunk in chunks]),
        workspace=max(0, (peak.peak or 0) - (peak.before or 0)),
    )


@contextmanager
def _watched(policy: VLAPolicy, take: Callable[[Tensor], None]) -> Iterator[None]:
    """Hand over what the head is fed with of each frame, (width,), while it is open."""
    if policy.engine.name == ONNX:
        # It runs none of the model's modules.
        engine = policy.engine
        policy.engine = _WatchedEngine(engine, take)
        try:
            yield
        finally:
            policy.engine = engine
        return
    reader: nn.Module | None = policy.model.fusion if policy.model.fusion is not None else policy.model.head
    if reader is None:
        raise ValueError("a policy that speaks its actions has no features to compare")

    def watch(_: nn.Module, arguments: tuple[Tensor | dict[str, Tensor], ...]) -> None:
        given = arguments[0]
        parts = [given] if isinstance(given, Tensor) else [given[name] for name in policy.config.features]
        # Of the newest frame, whether the window comes along or not.
        take(torch.cat([part.reshape(-1, part.shape[-1])[-1] for part in parts]))

    handle = reader.register_forward_pre_hook(watch)
    try:
        yield
    finally:
        handle.remove()


class _WatchedEngine:
    """An engine of lean steps that shows what its parts are to fuse."""

    def __init__(self, engine: Engine, take: Callable[[Tensor], None]) -> None:
        self.name, self.exact, self.describe = engine.name, engine.exact, engine.describe
        self._engine, self._take = engine, take

    def begin(self, instruction: EncodedInstruction) -> Running:
        """See `Engine.begin`."""
        history = self._engine.begin(instruction)
        assert isinstance(history, LeanHistory)
        return rebuilt(history, lambda parts: _WatchedParts(parts, self._take))


class _WatchedParts(PassedOn):
    def __init__(self, parts: Parts, take: Callable[[Tensor], None]) -> None:
        super().__init__(parts)
        self._take = take

    def fuse(self, features: Tensor) -> Tensor:
        """See `Parts.fuse`."""
        self._take(features[0])
        return super().fuse(features)


def _action_errors(action: ActionSpec, original: Outputs, converted: Outputs) -> tuple[ActionError, ...]:
    """Of each continuous action, over all frames and steps of their chunks."""
    errors = np.abs(converted.continuous - original.continuous)
    width = action.maximum - action.minimum
    return tuple(
        ActionError(
            name=each.name,
            unit=each.unit,
            mean=float(np.nan_to_num(errors[..., number].mean(), nan=0.0)),
            maximum=float(np.nan_to_num(errors[..., number].max(), nan=0.0)),
            share=float(np.nan_to_num(errors[..., number].max() / width[number], nan=0.0)),
        )
        for number, each in enumerate(action.continuous)
    )


def _feature_error(original: Outputs, converted: Outputs) -> float | None:
    """Relative L2 error of the features; None where some are not finite."""
    difference = converted.features.astype(np.float64) - original.features
    error = float(np.linalg.norm(difference) / np.linalg.norm(original.features.astype(np.float64)))
    return error if np.isfinite(error) else None


def _not_finite_share(converted: Outputs) -> float:
    """Share of numbers that are not finite."""
    values = np.concatenate([converted.features.ravel(), converted.continuous.ravel(), converted.binary.ravel()])
    return float((~np.isfinite(values)).mean())
