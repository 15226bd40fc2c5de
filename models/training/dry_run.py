"""A training's first step of every stage, its data, memory and disk, looked at before hours are spent on it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import torch
from rich.table import Table

from ..errors import TrainingConfigError
from ..memory import available_memory, free_disk, process_memory, reset_peak, size_text
from ..modeling import VLAModel
from .configuration import OptimizerConfig, TrainingConfig, read_training_config
from .grounding_stages import grounding_stages
from .imitation_stage import Sides, freeze, imitation_stage, lay_out_sides
from .loop import Run, Stage, Trainer
from .run import prepare
from .start import split_episodes

_EPISODES = 2  # of each side, for the step of a stage on kept features
_FLOAT32, _FLOAT16 = 4, 2


@dataclass(frozen=True)
class StepReport:
    """One step of a stage.

    Attributes:
        stage: its name.
        trainable: numbers that train.
        losses: of the step.
        seconds: that it took, data included.
        memory: bytes at its peak: of the GPU, or of the process.
    """

    stage: str
    trainable: int
    losses: dict[str, float]
    seconds: float
    memory: int


@dataclass(frozen=True)
class DryRun:
    """What was found.

    Attributes:
        episodes, frames: of the training side and the held-out one.
        steps: one of each stage.
        memory: what can still be had, in words.
        disk: bytes that the run will take.
        free: bytes that there are.
    """

    episodes: tuple[int, int]
    frames: tuple[int, int]
    steps: tuple[StepReport, ...]
    memory: str
    disk: int
    free: int

    def table(self) -> Table:
        """For the console."""
        table = Table("stage", "trains", "loss", "seconds", "memory", title="one step of every stage; nothing is kept")
        for step in self.steps:
            losses = ", ".join(f"{name} {value:.4g}" for name, value in step.losses.items())
            table.add_row(step.stage, f"{step.trainable:,}", losses, f"{step.seconds:.1f}", size_text(step.memory))
        table.caption = (
            f"{self.frames[0]:,} frames of {self.episodes[0]:,} episodes to train on, {self.frames[1]:,} of "
            f"{self.episodes[1]:,} held out\nmemory: {self.memory}\n"
            f"disk: {size_text(self.disk)} needed, {size_text(self.free)} free"
        )
        return table


def dry_run(config_path: str | Path) -> DryRun:
    """Read all data's signals and sentences, lay out every episode, and take a step of each stage; nothing is kept.

    Raises:
        MobileVLAError: what training would fail on: configuration, data, machine, a loss that is not finite, disk.
    """
    config = read_training_config(Path(config_path))
    episodes, parts, run = prepare(config)
    sides = lay_out_sides(parts.model, *split_episodes(episodes, config.imitation.validation_share, config.seed))
    disk, free = _disk(config, parts.model, sides), free_disk(config.output)
    if disk > free:
        raise TrainingConfigError(f"output: {config.output} will need {size_text(disk)}, {size_text(free)} are free")
    few = Sides(*(type(side)(side.timelines[:_EPISODES], side.config) for side in (sides.train, sides.held_out)))
    with tempfile.TemporaryDirectory() as folder:

        def stages() -> Iterator[Stage]:
            if config.grounding is not None:
                yield from grounding_stages(config.grounding, parts.model, parts.encoder, config.seed)
            freeze(parts.model, config.imitation, config.seed)
            # Pictures are decoded when a step wants them; features would be computed for all of them.
            shown = sides if config.imitation.trainable is not None else few
            yield imitation_stage(
                config.imitation, parts.model, parts.encoder, shown, Path(folder), config.seed, keep=None
            )

        steps = tuple(_step(stage, run) for stage in stages())
    return DryRun(
        episodes=(len(sides.train.timelines), len(sides.held_out.timelines)),
        frames=(len(sides.train.usable), len(sides.held_out.usable)),
        steps=steps,
        memory=str(available_memory(run.accelerator.device)),
        disk=disk,
        free=free,
    )


def _step(stage: Stage, run: Run) -> StepReport:
    device = run.accelerator.device
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    reset_peak()
    began = perf_counter()
    trainer = Trainer(stage, run)
    losses = trainer.step(0, trainer.batches(0))
    seconds = perf_counter() - began
    memory = process_memory()
    peak = memory.peak_rss if memory.peak_rss is not None else memory.rss
    return StepReport(
        stage.name,
        sum(parameter.numel() for parameter in stage.objective.parameters() if parameter.requires_grad),
        {name: float(loss) for name, loss in losses.items()},
        seconds,
        torch.cuda.max_memory_allocated(device) if device.type == "cuda" else peak,
    )


def _disk(config: TrainingConfig, model: VLAModel, sides: Sides) -> int:
    """Bytes of policy directories, checkpoints and features; what is written aside counts with them."""
    imitation = config.imitation
    directories = 3 * _FLOAT32 * model.parameter_count()  # last, best, and the next
    stages: list[OptimizerConfig] = [imitation.optimizer]
    if config.grounding is not None:
        stages += [config.grounding.clip, config.grounding.kosmos2]
    # Weights and two moments, written aside; that all train is the most there can be.
    checkpoints = sum(2 * _FLOAT32 * model.parameter_count() * (3 if stage.ema is None else 4) for stage in stages)
    if imitation.trainable is not None:
        return directories + checkpoints
    mirrors = 2 if imitation.augmentation is not None and imitation.augmentation.mirror else 1
    width = sum(model.feature_sizes[name] for name in model.config.features)
    frames = len(sides.train) * (imitation.looks + 1) * mirrors + 2 * len(sides.held_out)
    return directories + checkpoints + frames * width * _FLOAT16
