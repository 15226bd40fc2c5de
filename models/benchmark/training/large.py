"""Training steps on data that are far larger than memory: sparse files, read as any other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import h5py
import numpy as np
import torch
from accelerate import Accelerator
from rich.console import Console

from ...data.configuration import Column, Hdf5Source, InstructionDataset, StoredSignal
from ...data.hdf5.read import open_hdf5
from ...memory import process_memory, reset_peak, size_text
from ...training.configuration import OptimizerConfig
from ...training.examples import ExampleBatches, PictureExamples, index_frames
from ...training.imitation import PictureObjective
from ...training.loop import Run, Stage, Trainer
from ...training.sampling import Order
from .speed import TASK
from .subject import small_policy

BATCH = 4  # windows
HEIGHT, WIDTH, FRAMES = 720, 1280, 180  # of a file
FILE_BYTES = HEIGHT * WIDTH * 3 * FRAMES


@dataclass(frozen=True)
class LargeSet:
    """What steps on a large set took.

    Attributes:
        data: bytes of the pictures.
        files: that hold them.
        steps: that were taken.
        seconds: of listing, laying out and stepping.
        before, peak: resident bytes of the process before, and at most.
    """

    data: int
    files: int
    steps: int
    seconds: float
    before: int
    peak: int


def make_large_set(folder: Path, size: int) -> Hdf5Source:
    """HDF5 files of black pictures, together of at least `size` bytes; the file system stores next to nothing.

    Args:
        folder: of the files, new.
        size: bytes.
    """
    folder.mkdir(parents=True)
    at = np.arange(FRAMES) * 0.2
    values = np.stack([np.full(FRAMES, 0.3), np.sin(at)], axis=1).astype(np.float32)
    plain = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    # Room in the file at once, and nothing written into it: a hole.
    plain.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    plain.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    space = h5py.h5s.create_simple((FRAMES, HEIGHT, WIDTH, 3))
    for number in range(-(-size // FILE_BYTES)):
        with h5py.File(folder / f"run_{number:05d}.h5", "w") as file:
            h5py.h5d.create(file.id, b"images", h5py.h5t.NATIVE_UINT8, space, plain)
            file["actions"] = values
            file["language_instruction"] = np.array([b"go to the red box"])
    columns = (Column(name="linear_x", unit="m/s", scale=1.0), Column(name="angular_z", unit="rad/s", scale=1.0))
    return Hdf5Source(
        type="hdf5",
        path=folder,
        cameras={"front": "images"},
        color="rgb",
        dt=0.2,
        actions=StoredSignal(key="actions", columns=columns),
        episode_start="keep",
        instruction=InstructionDataset(type="dataset"),
    )


def measure_large(source: Hdf5Source, steps: int) -> LargeSet:
    """Train the whole small policy for a few steps on the pictures of a source."""
    reset_peak()
    before = process_memory().rss
    began = perf_counter()
    parts = small_policy()
    index = index_frames(open_hdf5(source), parts.config)
    optimizer = OptimizerConfig(
        steps=steps, batch_size=BATCH, learning_rate=1e-4, warmup_steps=0, weight_decay=0.0, gradient_norm=1.0
    )
    stage = Stage(
        name="large",
        objective=PictureObjective(parts.model, parts.encoder, TASK),
        batches=ExampleBatches(PictureExamples(index, None), Order(index.usable, None, 0), BATCH, 0),
        config=optimizer,
        groups={},
        validate=lambda module: {},
        validate_every=steps,
    )
    trainer = Trainer(stage, Run(Accelerator(cpu=True), Console(quiet=True), source.path, 0, 0, steps, "large"))
    batches = trainer.batches(0)
    for number in range(steps):
        trainer.step(number, batches)
    memory = process_memory()
    files = len(index.timelines)
    peak = memory.peak_rss if memory.peak_rss is not None else memory.rss
    return LargeSet(files * FILE_BYTES, files, steps, perf_counter() - began, before, peak)


def benchmark(folder: Path, gigabytes: float, threads: int) -> None:
    """Measure and print.

    Args:
        folder: for the files, new; they stay.
        gigabytes: of pictures.
        threads: of torch, on the CPU.
    """
    torch.set_num_threads(threads)
    found = measure_large(make_large_set(folder, int(gigabytes * 1e9)), steps=3)
    Console().print(
        f"{found.steps} steps of {BATCH} windows on {size_text(found.data)} of pictures in {found.files} files: "
        f"{found.seconds:.0f} s, resident memory {size_text(found.before)} before, {size_text(found.peak)} at its peak",
        highlight=False,
        soft_wrap=True,
    )
