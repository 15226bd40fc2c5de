"""Training memory with and without gradient checkpointing, each in a process of its own."""

from __future__ import annotations

import multiprocessing
import resource
import sys
from collections.abc import Iterator

import torch

from ..modeling import Observation
from ..training.trainable import TrainableConfig, set_trainable
from .subject import subject
from .timing import Comparison

WINDOW = 8


def training_memory(threads: int) -> Iterator[Comparison]:
    """Most memory that one forward and backward pass of the whole model takes beyond its weights and gradients."""
    context = multiprocessing.get_context("spawn")
    peaks = []
    for checkpointing in (False, True):
        with context.Pool(1) as pool:
            peaks.append(pool.apply(_peak, (threads, checkpointing)))
    name = f"training step on {WINDOW} frames, memory: gradient checkpointing"
    yield Comparison(name, peaks[0], peaks[1], "MB")


def _peak(threads: int, checkpointing: bool) -> float:
    """MB between the resident memory with weights and gradients in place and the peak of a training step."""
    torch.set_num_threads(threads)
    policy = subject("lstm", "post", WINDOW)
    model = policy.model.train()
    set_trainable(
        model,
        TrainableConfig(
            decoder="all",
            embeddings=True,
            language_head=False,
            vision=True,
            connector=True,
            resampler=False,
            clip=False,
            lora=None,
            gradient_checkpointing=checkpointing,
        ),
    )
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    before = _peak_memory()
    continuous, binary = model(Observation(policy.frames(WINDOW).unsqueeze(0)), policy.instruction)
    (continuous.sum() + binary.sum()).backward()
    return _peak_memory() - before


def _peak_memory() -> float:
    """MB, most that this process has been resident with."""
    # Kilobytes on Linux, bytes on macOS.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
