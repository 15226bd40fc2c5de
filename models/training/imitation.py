"""Second stage: recorded commands are imitated, from pictures or from features that were computed before."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..instruction import InstructionEncoder
from ..modeling import Observation, VLAModel
from .examples import Examples, FeatureWindows, FrameIndex, PictureWindows, Windows
from .tasks import TOTAL, ActionBatch, ActionTaskConfig, TasksConfig, answer_losses, training_loss

_AT_ONCE = 64  # windows
CONTINUOUS, BINARY = "answered_continuous", "answered_binary"


class FeatureObjective(nn.Module):
    """Fusion and head on kept features.

    Args:
        model: of which nothing else trains.
        task: kind and weight of the losses.
    """

    def __init__(self, model: VLAModel, task: ActionTaskConfig) -> None:
        super().__init__()
        self.model, self._task = model, task

    def forward(self, batch: FeatureWindows) -> dict[str, Tensor]:
        """Losses; in evaluation mode also the answers."""
        answer = self.model.act(batch.features)
        losses = answer_losses(answer, (batch.continuous, batch.binary, batch.mask), self._task)
        return _outcome({**losses, TOTAL: losses["action"] * self._task.weight}, answer, training=self.training)


class PictureObjective(nn.Module):
    """The whole model on pictures and sentences.

    Args:
        model: after `set_trainable`.
        encoder: of its instructions.
        task: kind and weight of the losses.
    """

    def __init__(self, model: VLAModel, encoder: InstructionEncoder, task: ActionTaskConfig) -> None:
        super().__init__()
        self.model, self._encoder, self._task = model, encoder, task

    def forward(self, batch: PictureWindows) -> dict[str, Tensor]:
        """Losses; in evaluation mode also the answers of a policy with a head."""
        instruction = self._encoder(self.model, batch.instructions)
        observation = Observation(batch.pictures, batch.state if self.model.config.state else None)
        if self.model.head is None or self.training:
            labelled = ActionBatch(observation, instruction, batch.continuous, batch.binary, batch.mask)
            tasks = TasksConfig(action=self._task, vision_language=None)
            return training_loss(self.model, {"action": labelled}, tasks)
        answer = self.model(observation, instruction)
        losses = answer_losses(answer, (batch.continuous, batch.binary, batch.mask), self._task)
        return _outcome({**losses, TOTAL: losses["action"] * self._task.weight}, answer, training=False)


def constant_action(index: FrameIndex) -> NDArray[np.float32]:
    """The best constant by its squared error: the mean of all known commands, (k,), in the units of the spec."""
    return np.asarray(index.continuous[index.mask].mean(axis=0), dtype=np.float32)


@torch.no_grad()
def measure(
    module: nn.Module, examples: Examples, frames: NDArray[np.int64], constant: NDArray[np.float32]
) -> dict[str, float]:
    """Losses on windows, and of a policy with a head the errors of the first action of each newest frame's chunk.

    Args:
        module: an objective, in evaluation mode.
        examples: that are looked at.
        frames: newest frames of the windows; those whose first action is not known count for the losses only.
        constant: the action that needs no policy, to compare with.

    Returns:
        `loss`; mean absolute errors by name in their units, each with `..._constant`; precision and recall of binary
        actions.
    """
    device = next(module.parameters()).device
    losses: list[tuple[int, dict[str, float]]] = []
    said: list[Tensor] = []
    for begin in range(0, len(frames), _AT_ONCE):
        batch: Windows = examples.windows(frames[begin : begin + _AT_ONCE], None).to(device)
        outcome = module(batch)
        answers = [outcome.pop(name) for name in (CONTINUOUS, BINARY) if name in outcome]
        losses.append((len(batch.newest), {name: float(loss) for name, loss in outcome.items()}))
        if answers:
            each = torch.arange(len(batch.newest), device=device)
            at = batch.newest if answers[0].shape[1] > 1 else torch.zeros_like(batch.newest)
            said.append(torch.cat([answer[each, at, 0].float() for answer in answers], dim=-1).cpu())
    total = sum(count for count, _ in losses)
    metrics = {name: sum(count * part[name] for count, part in losses) / total for name in losses[0][1]}
    return metrics | (_errors(torch.cat(said).numpy(), examples.index, frames, constant) if said else {})


def _errors(
    said: NDArray[np.float32], index: FrameIndex, frames: NDArray[np.int64], constant: NDArray[np.float32]
) -> dict[str, float]:
    spec = index.config.action
    known = index.mask[frames, 0]
    said, frames = said[known], frames[known]
    if not len(frames):
        return {}
    count = len(spec.continuous)
    velocity = spec.minimum + (said[:, :count] + 1.0) / 2.0 * (spec.maximum - spec.minimum)
    true = index.continuous[frames, 0]
    metrics: dict[str, float] = {}
    for column, name in enumerate(index.names):
        metrics[name] = float(np.abs(velocity[:, column] - true[:, column]).mean())
        metrics[f"{name}_constant"] = float(np.abs(constant[column] - true[:, column]).mean())
    for column, name in enumerate(spec.binary):
        pressed, wanted = said[:, count + column] > 0.0, index.binary[frames, 0, column] > 0.5
        hits = float((pressed & wanted).sum())
        metrics[f"{name}_precision"] = hits / max(1.0, float(pressed.sum()))
        metrics[f"{name}_recall"] = hits / max(1.0, float(wanted.sum()))
    return metrics


def _outcome(losses: dict[str, Tensor], answer: tuple[Tensor, Tensor], *, training: bool) -> dict[str, Tensor]:
    return losses if training else {**losses, CONTINUOUS: answer[0], BINARY: answer[1]}
