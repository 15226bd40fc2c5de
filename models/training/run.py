"""The training run: read the data, ground the words, imitate what was recorded, write the policy directory."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from rich.console import Console
from rich.progress import track

from ..data.episode import Episode
from ..data.left_out import count_left_out
from ..data.mark import mark
from ..policy_directory import PolicyParts, trained_on
from .configuration import TrainingConfig, read_recipe, read_training_config
from .grounding_stages import ground
from .imitation_stage import freeze, imitation_stage, lay_out_sides
from .loop import Run, Trainer, fingerprint
from .memory import keep_freed_memory
from .output import BEST, PolicyKeeper, data_hash, provenance, started_from
from .processes import make_accelerator
from .start import make_policy, read_episodes, split_episodes


def train(config_path: str | Path) -> Path:
    """Train by a configuration file; the directory of the best policy.

    A stopped run goes on from its checkpoints; finished stages are not repeated.

    Raises:
        MobileVLAError: configuration, data or machine are not fit for it; a loss that is not finite; a signal.
    """
    path = Path(config_path)
    config = read_training_config(path)
    episodes, parts, run = prepare(config)
    began = perf_counter()
    grounded = None
    if config.grounding is not None:
        grounded = ground(config.grounding, parts.model, parts.encoder, run)
    train_episodes, held_out = split_episodes(episodes, config.imitation.validation_share, config.seed)
    sides = lay_out_sides(parts.model, train_episodes, held_out)
    freeze(parts.model, config.imitation, config.seed)
    before = config.start.policy if config.start.type == "pretrained" else None
    trained_before = (trained_on(before) if before is not None else None) or frozenset()
    marks = {mark(episode) for episode in track(train_episodes, description="marks of the episodes", transient=True)}
    training: dict[str, Any] = {
        **provenance(path, config.seed, parts.model),
        "data": {
            "sha256": data_hash(episodes),
            "sources": [source.model_dump(mode="json") for source in config.sources],
            "held_out": sorted({episode.source for episode in held_out}),
            "trained_on": sorted(trained_before | marks),
        },
        "episodes": {"train": len(train_episodes), "held_out": len(held_out)},
        "frames": {"train": len(sides.train.usable), "held_out": len(sides.held_out.usable)},
        "grounding": grounded,
        "started_from": None if before is None else started_from(before),
    }
    keeper = PolicyKeeper(
        config.output,
        parts.model,
        parts.encoder,
        training,
        read_recipe(path),
        leads=run.leads,
        sharded=config.parallel == "fsdp",
    )
    features = config.output / "features"
    stage = imitation_stage(config.imitation, parts.model, parts.encoder, sides, features, config.seed, keeper)
    Trainer(stage, run).run()
    run.accelerator.wait_for_everyone()
    run.say(f"{(perf_counter() - began) / 60.0:.1f} min")
    return config.output / BEST


def prepare(config: TrainingConfig) -> tuple[list[Episode], PolicyParts, Run]:
    """Episodes, the policy on its device, and what the stages share.

    Raises:
        MobileVLAError: configuration, data or machine are not fit for it.
    """
    torch.set_num_threads(config.threads)
    keep_freed_memory()
    episodes = read_episodes(config)
    parts = make_policy(config, episodes)
    accelerator = make_accelerator(config, parts.model)
    parts.model.to(accelerator.device)
    console = Console()
    told = {"output", "threads", "workers", "checkpoint_every", "parallel"}
    known = [(episode.source, episode.instruction, len(episode.actions)) for episode in episodes]
    run = Run(
        accelerator=accelerator,
        console=console,
        folder=config.output,
        seed=config.seed,
        workers=config.workers,
        checkpoint_every=config.checkpoint_every,
        fingerprint=fingerprint(config.model_dump(mode="json", exclude=told), known),
    )
    run.say(
        f"{parts.model.parameter_count():,} parameters, {accelerator.num_processes} x {accelerator.device}, "
        f"{config.threads} threads, {config.precision}; {len(episodes)} episodes"
    )
    for camera, left_out in count_left_out(episodes).items():
        run.say(f"camera {camera}: {left_out.text}")
    return episodes, parts, run
