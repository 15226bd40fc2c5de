"""What a step of training lowers: the losses of its tasks, and their weighted sum."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from pydantic import Field, model_validator
from torch import Tensor

from ..configuration import Strict
from ..errors import TrainingConfigError
from ..loss import LossKind, action_loss, token_loss
from ..modeling import EncodedInstruction, Observation, VLAModel
from ..prompt import ACTION, STATE, EncodedPrompt, Slot
from ..spoken import action_token_loss, answer_logits

TOTAL = "loss"


class ActionTaskConfig(Strict):
    """Imitation of recorded actions.

    `loss` is that of the continuous group, `binary_weight` the weight of the binary group's loss beside it. Spoken
    actions have one loss for all their tokens, the cross-entropy: with the discrete head, and only with it, both are
    null.
    """

    weight: float = Field(gt=0.0)
    loss: LossKind | None
    binary_weight: float | None = Field(ge=0.0)

    @model_validator(mode="after")
    def _both(self) -> ActionTaskConfig:
        if (self.loss is None) != (self.binary_weight is None):
            raise ValueError(f"loss is {self.loss!r}, binary_weight {self.binary_weight!r}: null is for both")
        return self


class VisionLanguageTaskConfig(Strict):
    """Answers to questions about pictures, spoken by the backbone."""

    weight: float = Field(gt=0.0)


class TasksConfig(Strict):
    """The tasks of a training; null for one that it does not have."""

    action: ActionTaskConfig | None
    vision_language: VisionLanguageTaskConfig | None

    @model_validator(mode="after")
    def _any(self) -> TasksConfig:
        if not self.names:
            raise ValueError("no task: all of them are null")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """Tasks that are not null."""
        return tuple(name for name in type(self).model_fields if getattr(self, name) is not None)


@dataclass(frozen=True)
class ActionBatch:
    """Windows of frames under b instructions, and what was done there.

    Attributes:
        observation: windows (b, l, ...).
        instruction: of b samples.
        continuous: float (b, l, chunk, k) in [-1, 1].
        binary: (b, l, chunk, m) in {0, 1}, any dtype.
        mask: bool (b, l, chunk), the steps that count; labels of others may hold anything.
    """

    observation: Observation
    instruction: EncodedInstruction
    continuous: Tensor
    binary: Tensor
    mask: Tensor


@dataclass(frozen=True)
class VisionLanguageBatch:
    """Questions about pictures, and their answers.

    Attributes:
        pictures: uint8 (b, c, s, s, 3), in the order of their places in the prompt.
        prompt: of b questions; it holds places of c of the policy's cameras, and the answer's place is `{action}`.
        answer: int64 (b, n), tokens of the answers without special ones, padded at their right with 0.
        lengths: how many tokens each answer has; the longest has n.
    """

    pictures: Tensor
    prompt: EncodedPrompt
    answer: Tensor
    lengths: tuple[int, ...]


Batch = ActionBatch | VisionLanguageBatch


def check_tasks(model: VLAModel, tasks: TasksConfig) -> None:
    """Raise TrainingConfigError unless the model can do the tasks as they are configured."""
    if tasks.vision_language is not None and not model.config.backbone.language_head:
        raise TrainingConfigError("tasks.vision_language needs words to answer: backbone.language_head must be true")
    if tasks.action is not None and (tasks.action.loss is None) != (model.head is None):
        raise TrainingConfigError(
            f"tasks.action.loss and binary_weight must be null with the discrete head and only with it; "
            f"head is {model.config.head.type!r}, loss {tasks.action.loss!r}"
        )


def training_loss(model: VLAModel, batches: Mapping[str, Batch], tasks: TasksConfig) -> dict[str, Tensor]:
    """Losses of one step of training, checked to train something; see `task_losses`.

    Raises:
        ValueError: beside what `task_losses` raises, a sum that requires no gradient although gradients are on.
    """
    losses = task_losses(model, batches, tasks)
    if torch.is_grad_enabled() and not losses[TOTAL].requires_grad:
        raise ValueError(f"the loss of {', '.join(batches)} requires no gradient: nothing that it depends on trains")
    return losses


def task_losses(model: VLAModel, batches: Mapping[str, Batch], tasks: TasksConfig) -> dict[str, Tensor]:
    """Losses of the tasks. Each runs the model by itself, pictures are encoded once in it.

    Args:
        model: on the batches' device.
        batches: by the name of the task; a step need not have every task.
        tasks: kinds and weights.

    Returns:
        Scalars: each task's loss before its weight under the task's name, its parts as `action_continuous` and
        `action_binary`, and the weighted sum under "loss".

    Raises:
        TrainingConfigError: a batch of a task that does not exist or has no weight, or that this model cannot do.
        TypeError: a batch is not of its task's type.
        ValueError: no batch, a mask that counts nothing, or shapes that do not fit.
    """
    if not batches:
        raise ValueError("no batch to train on: give at least one task's")
    check_tasks(model, tasks)
    losses: dict[str, Tensor] = {}
    weighted: list[Tensor] = []
    for name, batch in batches.items():
        if name == "action" and tasks.action is not None:
            if not isinstance(batch, ActionBatch):
                raise TypeError(f"the batch of task {name!r} is a {type(batch).__name__}, expected ActionBatch")
            losses |= _action_losses(model, batch, tasks.action)
            weighted.append(losses[name] * tasks.action.weight)
        elif name == "vision_language" and tasks.vision_language is not None:
            if not isinstance(batch, VisionLanguageBatch):
                raise TypeError(f"the batch of task {name!r} is a {type(batch).__name__}, expected VisionLanguageBatch")
            losses[name] = _vision_language_loss(model, batch)
            weighted.append(losses[name] * tasks.vision_language.weight)
        else:
            raise TrainingConfigError(f"a batch of task {name!r}, but tasks has only {', '.join(tasks.names)}")
    return {**losses, TOTAL: torch.stack(weighted).sum()}


def _action_losses(model: VLAModel, batch: ActionBatch, task: ActionTaskConfig) -> dict[str, Tensor]:
    _check_action_batch(model, batch)
    if task.loss is None or task.binary_weight is None:
        return {"action": _spoken_action_loss(model, batch)}
    answer = model(batch.observation, batch.instruction)
    return answer_losses(answer, (batch.continuous, batch.binary, batch.mask), task)


def answer_losses(
    answer: tuple[Tensor, Tensor], labels: tuple[Tensor, Tensor, Tensor], task: ActionTaskConfig
) -> dict[str, Tensor]:
    """Losses of what a head has said: `action` and its parts, scalars.

    Args:
        answer: continuous group (b, l', chunk, k) and binary logits (b, l', chunk, m); l' is 1 for a policy that
            answers the newest frame of its windows only.
        labels: continuous (b, l, chunk, k), binary (b, l, chunk, m), mask (b, l, chunk).
        task: kind and weight; `loss` is not null.

    Raises:
        ValueError: the mask counts nothing, or shapes do not fit.
    """
    if task.loss is None or task.binary_weight is None:
        raise ValueError("the losses of a head want a kind: task.loss is null, which is for spoken actions")
    # In float32: sums over a batch are too long for what autocast computes in.
    continuous, binary = (group.float() for group in answer)
    frames = slice(-continuous.shape[1], None)
    wanted, pressed, mask = (label[:, frames] for label in labels)
    continuous_loss, binary_loss = action_loss(continuous, binary, wanted, pressed, mask, task.loss)
    losses = {"action": continuous_loss, "action_continuous": continuous_loss}
    if binary.shape[-1]:
        losses |= {"action": continuous_loss + task.binary_weight * binary_loss, "action_binary": binary_loss}
    return losses


def _spoken_action_loss(model: VLAModel, batch: ActionBatch) -> Tensor:
    pictures, state = batch.observation.pictures, batch.observation.state
    images = _encode(model, pictures)
    prompt = batch.instruction.prompt
    return action_token_loss(model, images, state, prompt, batch.continuous, batch.binary, batch.mask)


def _vision_language_loss(model: VLAModel, batch: VisionLanguageBatch) -> Tensor:
    _check_vision_language_batch(model, batch)
    images = _as_cameras(model, _encode(model, batch.pictures.unsqueeze(1)), batch.prompt.cameras)
    answer = batch.answer.unsqueeze(1)
    counts = torch.ones_like(answer, dtype=torch.bool)
    logits, ids = answer_logits(
        model, images, None, batch.prompt, answer, counts, together=False, lengths=batch.lengths
    )
    return token_loss(logits, ids)


def _encode(model: VLAModel, pictures: Tensor) -> Tensor:
    """(b, l, c, s, s, 3) -> (b, l, c, q, w)."""
    images = model.encode_pictures(pictures.flatten(0, 2))
    return images.view(*pictures.shape[:3], *images.shape[1:])


def _as_cameras(model: VLAModel, images: Tensor, places: tuple[str, ...]) -> Tensor:
    """(b, 1, c, q, w) in the order of places -> one of every camera, in the order of the configuration."""
    # A camera that the question does not show gets a picture all the same; the prompt has no place for it.
    index = [places.index(name) if name in places else 0 for name in model.config.cameras]
    return images[:, :, index]


def _check_action_batch(model: VLAModel, batch: ActionBatch) -> None:
    spec, frames = model.config.action, batch.observation.pictures.shape[:2]
    expected = {
        "continuous": (*frames, model.config.chunk, len(spec.continuous)),
        "binary": (*frames, model.config.chunk, len(spec.binary)),
        "mask": (*frames, model.config.chunk),
    }
    for name, shape in expected.items():
        found = tuple(getattr(batch, name).shape)
        if found != shape:
            raise ValueError(f"action batch: {name} has shape {found}, expected {shape}")
    if batch.mask.dtype != torch.bool:
        raise ValueError(f"action batch: mask is {batch.mask.dtype}, expected bool")


def _check_vision_language_batch(model: VLAModel, batch: VisionLanguageBatch) -> None:
    cameras, known = batch.prompt.cameras, model.config.cameras
    places = [part.name for part in batch.prompt.parts if isinstance(part, Slot)]
    if places.count(ACTION) != 1 or STATE in places:
        raise ValueError(f"vision-language batch: a prompt needs one {{action}} and no {{state}}, has {places}")
    if not cameras or len(set(cameras)) != len(cameras) or not set(cameras) <= set(known):
        raise ValueError(f"vision-language batch: the prompt shows {cameras}, expected some of {known}, each once")
    if batch.pictures.dim() != 5 or batch.pictures.shape[1] != len(cameras):
        raise ValueError(
            f"vision-language batch: pictures have shape {tuple(batch.pictures.shape)}, expected (b, {len(cameras)}, "
            f"s, s, 3) for the prompt's {cameras}"
        )
    count, longest = batch.answer.shape
    if len(batch.pictures) != count or len(batch.prompt.ids) != count or len(batch.lengths) != count:
        raise ValueError(
            f"vision-language batch: {len(batch.pictures)} samples of pictures, {len(batch.prompt.ids)} prompts, "
            f"{count} answers and {len(batch.lengths)} lengths"
        )
    if min(batch.lengths) < 1 or max(batch.lengths) != longest:
        raise ValueError(f"vision-language batch: lengths are {batch.lengths}, expected from 1 up to {longest}")
