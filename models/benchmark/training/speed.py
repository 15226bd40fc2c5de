"""Samples a second: the trainer on kept features beside a plain loop, and its first epoch beside later ones."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import torch
from accelerate import Accelerator
from rich.console import Console
from rich.table import Table

from ...training.configuration import OptimizerConfig
from ...training.examples import ExampleBatches, PictureExamples, index_frames
from ...training.frozen import FrozenTowers
from ...training.imitation import FeatureObjective
from ...training.loop import Run, Stage, Trainer
from ...training.sampling import Order
from ...training.tasks import ActionTaskConfig
from .plain import plain_loop
from .subject import recordings, small_policy

BATCH = 16
TASK = ActionTaskConfig(weight=1.0, loss="huber", binary_weight=0.01)


@dataclass(frozen=True)
class Speed:
    """Samples (windows) a second, all in one process and on the same data.

    Attributes:
        plain: of the plain loop.
        first: of the trainer's first epoch, in which features are computed.
        later: of its later epochs.
        losses: of the first step of both loops, which take the same batch: plain, trainer.
        epoch: samples in an epoch.
        parameters: of the model.
    """

    plain: float
    first: float
    later: float
    losses: tuple[float, float]
    epoch: int
    parameters: int


def measure_speed(episodes: int, frames: int, epochs: int, plain_steps: int) -> Speed:
    """Train the head of a small policy in both ways.

    Args:
        episodes: made-up recordings.
        frames: of each of them.
        epochs: of the trainer, the first included.
        plain_steps: of the plain loop, beside one that warms up.
    """
    config = small_policy().config
    index = index_frames(recordings(episodes, frames), config)
    order = Order(index.usable, None, seed=0)
    steps = len(order) // BATCH
    plain = plain_loop(small_policy(), ExampleBatches(PictureExamples(index, None), order, BATCH, seed=0), TASK)
    plain_loss = plain(0)
    began = perf_counter()
    for number in range(1, plain_steps + 1):
        plain(number)
    plain_rate = plain_steps * BATCH / (perf_counter() - began)

    parts = small_policy()
    parts.model.requires_grad_(False)
    if parts.model.head is not None:
        parts.model.head.requires_grad_(True)
    optimizer = OptimizerConfig(
        steps=steps * epochs, batch_size=BATCH, learning_rate=1e-3, warmup_steps=0, weight_decay=0.0, gradient_norm=1.0
    )
    with tempfile.TemporaryDirectory() as folder:
        began = perf_counter()
        kept = FrozenTowers(parts.model, parts.encoder, Path(folder)).examples(index, None, 0, seed=0)
        stage = Stage(
            name="speed",
            objective=FeatureObjective(parts.model, TASK),
            batches=ExampleBatches(kept, order, BATCH, seed=0),
            config=optimizer,
            groups={},
            validate=lambda module: {},
            validate_every=optimizer.steps,
        )
        run = Run(Accelerator(cpu=True), Console(quiet=True), Path(folder), 0, 0, optimizer.steps, "speed")
        trainer = Trainer(stage, run)
        batches = trainer.batches(0)
        losses = [trainer.step(number, batches) for number in range(steps)]
        first = perf_counter() - began
        began = perf_counter()
        for number in range(steps, steps * epochs):
            trainer.step(number, batches)
        later = (perf_counter() - began) / (epochs - 1)
    trained = float(losses[0]["action"])
    return Speed(
        plain_rate,
        steps * BATCH / first,
        steps * BATCH / later,
        (plain_loss, trained),
        steps * BATCH,
        parts.model.parameter_count(),
    )


def benchmark(threads: int) -> None:
    """Measure and print.

    Args:
        threads: of torch, on the CPU.
    """
    torch.set_num_threads(threads)
    found = measure_speed(episodes=16, frames=40, epochs=6, plain_steps=3)
    table = Table("training a head on frozen towers", "samples/s", "to the plain loop")
    for name, rate in (
        ("plain loop: each window through the whole model", found.plain),
        ("trainer, first epoch: features computed and kept", found.first),
        ("trainer, later epochs", found.later),
    ):
        table.add_row(name, f"{rate:.1f}", f"{rate / found.plain:.1f} x")
    table.caption = (
        f"random weights, {found.parameters / 1e6:.0f} M parameters (Kosmos-2: decoder 6 x 384, vision 6 x 192 at 168 "
        f"pixels), windows of 8, batches of {BATCH}, epochs of {found.epoch}, {threads} threads\n"
        f"later epochs are {found.later / found.first:.1f} x as fast as the first; "
        f"losses of the same first batch: {found.losses[0]:.6f} plain, {found.losses[1]:.6f} on features as float16"
    )
    Console().print(table)
