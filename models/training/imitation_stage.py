"""The stage of imitation, made of a configuration: what trains, on which examples, measured on which."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..data.balance import balance_weights, motion_kinds
from ..data.episode import Episode
from ..instruction import InstructionEncoder
from ..modeling import VLAModel
from .configuration import ImitationConfig
from .examples import ExampleBatches, Examples, FeatureExamples, FrameIndex, PictureExamples, index_frames
from .frozen import FrozenTowers, swap_instructions
from .groups import parameter_groups
from .imitation import FeatureObjective, PictureObjective, constant_action, measure
from .loop import Stage
from .sampling import Order
from .tasks import TOTAL, TasksConfig, check_tasks
from .trainable import set_trainable

Keep = Callable[[nn.Module, int, dict[str, float], bool], None]


@dataclass(frozen=True)
class Sides:
    """Frames to train on, and frames held out."""

    train: FrameIndex
    held_out: FrameIndex


def lay_out_sides(model: VLAModel, train: Sequence[Episode], held_out: Sequence[Episode]) -> Sides:
    """Both sides of the split at the policy's dt.

    Raises:
        DataError: see `index_frames`.
    """
    return Sides(index_frames(train, model.config), index_frames(held_out, model.config))


def freeze(model: VLAModel, config: ImitationConfig, seed: int) -> None:
    """Freeze and thaw what the configuration says.

    Raises:
        TrainingConfigError: the model lacks a group, or cannot do the task.
    """
    check_tasks(model, TasksConfig(action=config.task, vision_language=None))
    if config.trainable is not None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)  # adapters are drawn
            set_trainable(model, config.trainable)
        return
    model.requires_grad_(False)
    for part in (model.fusion, model.head):
        if part is not None:
            part.requires_grad_(True)


def imitation_stage(
    config: ImitationConfig,
    model: VLAModel,
    encoder: InstructionEncoder,
    sides: Sides,
    features: Path,
    seed: int,
    keep: Keep | None,
) -> Stage:
    """The stage; features of frozen towers are computed now, where they are not kept already.

    Args:
        config: of the stage.
        model: after `freeze`.
        encoder: of its instructions.
        sides: frames.
        features: folder of kept features.
        seed: of batches and augmentation.
        keep: see `Stage`.
    """
    swapped = swap_instructions(sides.held_out)
    examples: dict[str, Examples]
    objective: nn.Module
    if config.trainable is None:
        examples = dict(_features(config, model, encoder, sides, swapped, features, seed))
        objective = FeatureObjective(model, config.task)
    else:
        examples = {
            "train": PictureExamples(sides.train, config.augmentation),
            "held_out": PictureExamples(sides.held_out, None),
            "swapped": PictureExamples(swapped, None),
        }
        objective = PictureObjective(model, encoder, config.task)
    frames = evenly(sides.held_out.usable, config.validation_frames)
    constant = constant_action(sides.train)

    def validate(module: nn.Module) -> dict[str, float]:
        metrics = measure(module, examples["held_out"], frames, constant)
        # Instruction sensitivity: the same frames under other words. A policy that ignores the words errs the same.
        other = measure(module, examples["swapped"], frames, constant)
        sensitive = {f"{name}_swapped_words": other[name] for name in (TOTAL, *sides.train.names) if name in other}
        return metrics | sensitive

    order = Order(sides.train.usable, _weights(config, sides.train), seed)
    return Stage(
        name="imitation",
        objective=objective,
        batches=ExampleBatches(examples["train"], order, config.optimizer.batch_size, seed),
        config=config.optimizer,
        groups=parameter_groups(model),  # type: ignore[arg-type]
        validate=validate,
        validate_every=config.validate_every,
        patience=config.patience,
        keep=keep,
    )


def _features(
    config: ImitationConfig,
    model: VLAModel,
    encoder: InstructionEncoder,
    sides: Sides,
    swapped: FrameIndex,
    folder: Path,
    seed: int,
) -> dict[str, FeatureExamples]:
    towers = FrozenTowers(model, encoder, folder)
    return {
        "train": towers.examples(sides.train, config.augmentation, config.looks, seed),
        "held_out": towers.examples(sides.held_out, None, 0, seed),
        "swapped": towers.examples(swapped, None, 0, seed),
    }


def _weights(config: ImitationConfig, index: FrameIndex) -> NDArray[np.float64] | None:
    if config.balance is None:
        return None
    return balance_weights(motion_kinds(index.continuous[index.usable, 0], index.names), config.balance)


def evenly(frames: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """At most so many of the frames, evenly spread."""
    return frames[np.unique(np.linspace(0, len(frames) - 1, min(most, len(frames))).round().astype(np.int64))]
