"""The pieces of work that are measured, each to be run in a process of its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import Progress
from torch import Tensor

from ...configuration import PolicyConfig
from ...convert.conversion import Wanted, convert
from ...convert.hybrid import hybrid_source
from ...convert.hybrid_layout import FULL_SIZE, HybridLayout
from ...convert.hybrid_random import write_random_hybrid
from ...convert.hybrid_settings import NORMALISATION, HybridSettings
from ...convert.hybrid_source import read_hybrid
from ...convert.stored import towers
from ...data.frames import Run, read_runs
from ...errors import CheckpointError
from ...inspection.inspection import inspect
from ...memory.pages import resident_bytes
from ...memory.process import process_memory
from ...policy import VLAPolicy
from ...precision import uniform
from ...preprocessing import normalise
from ...receipt import Receipt
from ...text import read_tokenizer, train_tokenizer
from ..simple_clip_lstm import SimpleCLIPLSTM

# No beginning token: the small tokenizer's would have the id of Kosmos-2's padding.
PROMPT = "{front}{instruction}</s>"
FUSION_INPUTS = ("backbone", "clip_image_raw")
DT, WINDOW, SCALE = 0.4, 8, 2.0
STEPS = 2  # frames that outputs are compared after, and steady memory is read after


def settings(folder: Path) -> HybridSettings:
    """What the random checkpoint's tensors do not show."""
    return HybridSettings(
        fusion_inputs=FUSION_INPUTS,  # type: ignore[arg-type]
        read_out=("all", "mean"),
        fusion_activation=None,
        activation="relu",
        final_tanh=True,
        actions=(("linear_x", "m/s"), ("angular_z", "rad/s")),
        action_scale=(SCALE,),
        dt=DT,
        window=WINDOW,
        normalisation=NORMALISATION["imagenet"],
        interpolation="bilinear",
        prompt=PROMPT,
        tokenizer=str(folder / "tokenizer"),
        clip_tokenizer=None,
        kosmos_config=None,
        clip_config=None,
        limits=None,
    )


def generate(path: Path, layout: HybridLayout) -> tuple[int, None]:
    """The checkpoint and its tokenizer; bytes of the former."""
    with Progress(disable=True) as progress:
        write_random_hybrid(path, layout, 0, progress)
    sentences = ["go to the red box", "drive to the blue ball", "turn left", "stop"]
    train_tokenizer(sentences, vocab_size=300, max_length=64).save_pretrained(path.parent / "tokenizer")
    return path.stat().st_size, None


@dataclass(frozen=True)
class Naive:
    """What the usual way came to.

    Attributes:
        seconds: of loading.
        rss, anonymous: bytes after loading.
        parameters: number.
        action: float32 (2,), after the first frames of a recording.
    """

    seconds: float
    rss: int
    anonymous: int
    parameters: int
    action: NDArray[np.float32]


def load_naively(path: Path, frames: Path) -> tuple[Naive, None]:
    """Build the modules, torch.load, load_state_dict; then run them, which takes less memory than that."""
    begin = perf_counter()
    model = SimpleCLIPLSTM(
        path, FULL_SIZE, inputs=("kosmos_text:mean", "clip_image"), activation="relu", final_tanh=True, scale=SCALE
    )
    seconds, memory = perf_counter() - begin, process_memory()
    config = hybrid_source(read_hybrid(path, None, None), settings(path.parent)).config
    run = _runs(frames, config, STEPS)[0]
    pixels = normalise(torch.from_numpy(run.frames[:STEPS]), config.image)
    tokenizer = read_tokenizer(str(path.parent / "tokenizer"), CheckpointError, hub=False)
    words = tokenizer(f"{run.instruction}</s>", add_special_tokens=False)["input_ids"]
    latents = int(FULL_SIZE.kosmos["latent_query_num"])
    ids = torch.tensor([[4] * latents + words])
    place = torch.arange(ids.shape[1])[None] < latents
    action: Tensor = model(pixels, ids, place, pixels, torch.tensor([[4, 49407]]))
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return Naive(seconds, memory.rss, memory.anonymous or 0, parameters, action.numpy()), None


def inspect_file(path: Path) -> tuple[int, None]:
    """Read everything in the file, every number too; parameters found."""
    with Progress(disable=True) as progress:
        return inspect(path, progress).contents.parameters, None


def convert_to(path: Path, precision: str, frames: Path, count: int, out: Path) -> tuple[dict[str, Any], None]:
    """A policy directory of that precision; its receipt."""
    hybrid = read_hybrid(path, None, None)
    source = hybrid_source(hybrid, settings(path.parent))
    wanted = Wanted(uniform(precision), "cpu", bound=0.05, force=True)
    with Progress(disable=True) as progress:
        receipt: Receipt = convert(source, wanted, _runs(frames, source.config, count), out, progress)
    return receipt.model_dump(), None


def load_policy(directory: Path, weights: str) -> tuple[int, Any]:
    """Load with everything that is checked, golden vectors too; bytes of the weights' file."""
    policy = VLAPolicy.from_pretrained(directory, weights=weights)
    return (directory / "model.safetensors").stat().st_size, policy


def run_policy(directory: Path, frames: Path, weights: str) -> tuple[dict[str, Any], Any]:
    """Load and take the first frames of a recording: the action, and what of the weights is resident afterwards."""
    policy = VLAPolicy.from_pretrained(directory, weights=weights)
    run = _runs(frames, policy.config, STEPS)[0]
    for frame in run.frames[:STEPS]:
        chunk = policy.step(frame, run.instruction)
    model = policy.model
    words = model.backbone.word_embedding.weight
    vision = list(model.backbone.vision_tower.parameters()) + list(model.backbone.vision_tower.buffers())
    return {
        "action": chunk.continuous[0],
        "words": (resident_bytes(words), words.nbytes),
        "vision": (sum(map(resident_bytes, vision)), sum(tensor.nbytes for tensor in vision)),
        "blocks": [len(blocks) for blocks in towers(model).values()],
    }, policy


def _runs(frames: Path, config: PolicyConfig, count: int) -> list[Run]:
    return read_runs(frames, config.image, config.dt, count)
