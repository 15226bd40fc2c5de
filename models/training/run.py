"""The training run: read the data, ground the words, imitate the expert, write the policy directory."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn, track
from torch import nn
from torch.utils.tensorboard import SummaryWriter

from ..action import BASE, STOP
from ..configuration import ClipConfig, PolicyConfig
from ..data.bags import find_bags, read_bag, read_instructions
from ..data.episode import Episode
from ..data.views import GroundingViews, read_index, read_views
from ..errors import DataError, TrainingConfigError
from ..instruction import InstructionEncoder
from ..modeling import VLAModel, initialise
from ..policy import VLAPolicy
from ..policy_directory import PolicyParts
from ..prompt import Words, parse_prompt
from ..text import train_tokenizer
from .configuration import OptimizerConfig, TrainingConfig, read_recipe, read_training_config
from .grounding import (
    LocationBatch,
    LocationHead,
    check_similarity_prompts,
    clip_of,
    clip_pointing,
    draw_location_batch,
    draw_patch_batch,
    kosmos2_pointing,
    location_loss,
    patch_loss,
    take_vision_tower,
)
from .imitation import (
    FeatureEpisodes,
    action_errors,
    constant_action,
    draw_windows,
    extract_features,
    window_loss,
)
from .memory import keep_freed_memory
from .model_card import model_card
from .optimization import Checkpoint, make_optimizer, optimizer_step

VALIDATE_EVERY = 250
console = Console()


def train(config_path: str | Path) -> Path:
    """Train by a configuration file; the policy directory written.

    A stopped run resumes from its checkpoints; finished stages are not repeated.

    Raises:
        TrainingConfigError: the configuration cannot be used.
        DataError: views or bags are missing or malformed.
    """
    config = read_training_config(Path(config_path))
    torch.set_num_threads(config.threads)
    keep_freed_memory()
    prompts = check_similarity_prompts(check_recipe(config.policy).prompts)
    bags = find_bags(config.imitation.bags)
    encoder = make_encoder(config, [text for bag in bags for text in read_instructions(bag)])
    model = initialise(config.policy, config.seed)
    console.print(f"{model.parameter_count():,} parameters, {config.threads} threads, float32")
    started = perf_counter()
    log = SummaryWriter(str(config.checkpoints / "log"))
    grounded = ground(config, model, encoder, prompts, log)
    episodes_train, episodes_held_out = split_episodes(read_episodes(config, bags), config)
    imitated = imitate(config, model, encoder, episodes_train, episodes_held_out, log)
    log.close()
    training: dict[str, Any] = {
        "configuration": str(config_path),
        "seed": config.seed,
        "git_revision": _git_revision(),
        "torch": torch.__version__,
        "parameters": model.parameter_count(),
        "minutes_of_this_run": round((perf_counter() - started) / 60.0, 1),
        "episodes": {"train": len(episodes_train), "held_out": len(episodes_held_out)},
        "grounding": grounded,
        "imitation": imitated,
    }
    policy = VLAPolicy(PolicyParts(config.policy, model, encoder))
    policy.save_pretrained(config.output, training, model_card(training, read_recipe(Path(config_path))))
    return config.output


def read_episodes(config: TrainingConfig, bags: list[Path]) -> list[Episode]:
    """Every episode of every bag, at the policy's dt and picture size."""
    episodes: list[Episode] = []
    for bag in track(bags, description="reading bags"):
        episodes += read_bag(bag, config.policy.image, config.policy.dt)
    if len(episodes) < 2:
        raise DataError(f"{config.imitation.bags} holds {len(episodes)} episodes; at least 2 are needed for a split")
    return episodes


def split_episodes(episodes: list[Episode], config: TrainingConfig) -> tuple[list[Episode], list[Episode]]:
    """Split by recording (scenes are never on both sides), drawn by the seed: (train, held out)."""
    bags = sorted({episode.source.split("#")[0] for episode in episodes})
    order = np.random.default_rng(config.seed).permutation(len(bags))
    count = min(len(bags) - 1, max(1, round(len(bags) * config.imitation.validation_share)))
    held_out = {bags[i] for i in order[:count]}
    sides: tuple[list[Episode], list[Episode]] = ([], [])
    for episode in episodes:
        sides[episode.source.split("#")[0] in held_out].append(episode)
    return sides


def make_encoder(config: TrainingConfig, instructions: list[str]) -> InstructionEncoder:
    """Train one small tokenizer on all sentences of the data, and use it for both towers."""
    sentences = [*read_index(config.grounding.views).sentences, *instructions]
    clip = check_recipe(config.policy)
    parts = parse_prompt(config.policy.prompt, config.policy.cameras, False, config.policy.has_action_slot)
    sentences += [part.text.replace("{instruction}", "") for part in parts if isinstance(part, Words)] + list(
        clip.prompts
    )
    text_length = int(clip.config["text_config"]["max_position_embeddings"])
    tokenizer = train_tokenizer(sentences, config.tokenizer.vocab_size, max_length=text_length)
    for name, tower in (("backbone", config.policy.backbone.config), ("clip", clip.config)):
        vocabulary = tower["text_config"]["vocab_size"]
        if len(tokenizer) > vocabulary:
            raise TrainingConfigError(
                f"policy.{name}.config.text_config.vocab_size is {vocabulary}, "
                f"the tokenizer has {len(tokenizer)} tokens"
            )
    return InstructionEncoder(config.policy, tokenizer, tokenizer)


def check_recipe(policy: PolicyConfig) -> ClipConfig:
    """CLIP's part of a policy that this recipe can train.

    Raises:
        TrainingConfigError: the recipe is not for such a policy; what is in the way is named.
    """
    names = (tuple(action.name for action in policy.action.continuous), policy.action.binary)
    for key, found, expected in (
        ("action", names, (BASE, (STOP,))),
        ("cameras", len(policy.cameras), 1),
        ("state", policy.state, ()),
        ("history", policy.history, "post"),
        ("readout.type", policy.readout.type if policy.readout is not None else None, "action_token"),
        ("fusion", policy.fusion is not None, True),
    ):
        if found != expected:
            raise TrainingConfigError(f"policy.{key} is {found}; grounding and imitation are for {expected}")
    if policy.clip is None:
        raise TrainingConfigError("policy.clip is null: words are grounded in CLIP first")
    return policy.clip


def ground(
    config: TrainingConfig,
    model: VLAModel,
    encoder: InstructionEncoder,
    prompts: tuple[str, ...],
    log: SummaryWriter,
) -> dict[str, dict[str, float]]:
    """First stage; trains CLIP, then Kosmos-2, and returns their pointing accuracies on held-out views."""
    views = read_views(config.grounding.views, config.policy.image)
    if len(views) <= config.grounding.validation_views:
        raise DataError(
            f"{config.grounding.views} holds {len(views)} views, "
            f"{config.grounding.validation_views} of them are for validation"
        )
    return {
        "clip": _ground_clip(config, model, encoder, prompts, views, log),
        "kosmos2": _ground_kosmos2(config, model, encoder, views, log),
    }


def _ground_clip(
    config: TrainingConfig,
    model: VLAModel,
    encoder: InstructionEncoder,
    prompts: tuple[str, ...],
    views: GroundingViews,
    log: SummaryWriter,
) -> dict[str, float]:
    stage = config.grounding
    clip = clip_of(model)
    optimizer, schedule = make_optimizer([clip], stage.clip)
    checkpoint = Checkpoint(config.checkpoints / "clip.pt", {"clip": clip}, optimizer, schedule)

    def step(rng: np.random.Generator) -> dict[str, float]:
        model.train()
        rows = rng.integers(0, len(views) - stage.validation_views, stage.clip.batch_size)
        loss = patch_loss(model, encoder, draw_patch_batch(views, rows, clip.grid, prompts, rng))
        optimizer_step(loss, optimizer, schedule, stage.clip.gradient_norm)
        return {"patch_loss": float(loss.detach())}

    def validate() -> dict[str, float]:
        model.eval()
        return _mean([clip_pointing(model, encoder, batch) for batch in _validation_batches(config, model, views)])

    _run_stage("clip", config, stage.clip, checkpoint, step, validate, log)
    return validate()


def _ground_kosmos2(
    config: TrainingConfig,
    model: VLAModel,
    encoder: InstructionEncoder,
    views: GroundingViews,
    log: SummaryWriter,
) -> dict[str, float]:
    stage = config.grounding
    take_vision_tower(model)
    torch.manual_seed(config.seed)
    clip = clip_of(model)
    head = LocationHead(model.feature_sizes["backbone"], clip.patches)
    modules: dict[str, nn.Module] = {
        "kosmos2": model.backbone,
        "action_tokens": nn.ParameterList([model.action_tokens]),
        "location": head,
    }
    optimizer, schedule = make_optimizer(modules.values(), stage.kosmos2)
    checkpoint = Checkpoint(config.checkpoints / "kosmos2.pt", modules, optimizer, schedule)

    def step(rng: np.random.Generator) -> dict[str, float]:
        model.train()
        rows = rng.integers(0, len(views) - stage.validation_views, stage.kosmos2.batch_size)
        batch = draw_location_batch(views, rows, clip.grid, stage.instructions_per_view, stage.absent_share, rng)
        loss = location_loss(model, encoder, head, batch)
        optimizer_step(loss, optimizer, schedule, stage.kosmos2.gradient_norm)
        return {"location_loss": float(loss.detach())}

    def validate() -> dict[str, float]:
        model.eval()
        batches = _validation_batches(config, model, views)
        return _mean([kosmos2_pointing(model, encoder, head, batch) for batch in batches])

    _run_stage("kosmos2", config, stage.kosmos2, checkpoint, step, validate, log)
    return validate()


def _validation_batches(config: TrainingConfig, model: VLAModel, views: GroundingViews) -> Iterator[LocationBatch]:
    """The same instructions each time, on the last views: those of one scene lie side by side, so these are others."""
    stage = config.grounding
    for rows in _batches(np.arange(len(views) - stage.validation_views, len(views)), 250):
        rng = np.random.default_rng(int(rows[0]))
        yield draw_location_batch(
            views, rows, clip_of(model).grid, stage.instructions_per_view, stage.absent_share, rng
        )


def _mean(parts: list[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([part[name] for part in parts])) for name in parts[0]}


def imitate(
    config: TrainingConfig,
    model: VLAModel,
    encoder: InstructionEncoder,
    episodes: list[Episode],
    held_out: list[Episode],
    log: SummaryWriter,
) -> dict[str, float]:
    """Second stage; trains fusion and head on features of the grounded towers, returns errors on held-out episodes."""
    stage = config.imitation
    data = extract_features(model, encoder, episodes)
    unseen = extract_features(model, encoder, held_out)
    swapped = extract_features(model, encoder, swap_instructions(held_out))
    constant = constant_action(data)
    parts = (("fusion", model.fusion), ("head", model.head))
    modules: dict[str, nn.Module] = {name: module for name, module in parts if module is not None}
    optimizer, schedule = make_optimizer(modules.values(), stage.optimizer)
    checkpoint = Checkpoint(config.checkpoints / "imitation.pt", modules, optimizer, schedule)

    def step(rng: np.random.Generator) -> dict[str, float]:
        model.train()
        rows = draw_windows(data, config.policy.window, stage.optimizer.batch_size, rng)
        velocity, stop = window_loss(model, data, rows)
        loss = velocity + stage.stop_weight * stop
        optimizer_step(loss, optimizer, schedule, stage.optimizer.gradient_norm)
        return {"velocity": float(velocity.detach()), "stop": float(stop.detach())}

    def validate() -> dict[str, float]:
        return _validate_imitation(model, config.policy, unseen, swapped, constant)

    _run_stage("imitation", config, stage.optimizer, checkpoint, step, validate, log)
    return validate()


def _validate_imitation(
    model: VLAModel,
    policy: PolicyConfig,
    unseen: FeatureEpisodes,
    swapped: FeatureEpisodes,
    constant: torch.Tensor,
) -> dict[str, float]:
    errors = action_errors(model, unseen, constant, policy)
    # Instruction sensitivity: the same frames under other words. A policy that ignores the words has the same error.
    other = action_errors(model, swapped, constant, policy)
    return {
        **errors,
        "angular_z_swapped_words": other["angular_z"],
        "linear_x_swapped_words": other["linear_x"],
    }


def swap_instructions(episodes: list[Episode]) -> list[Episode]:
    """The same episodes, each under the instruction of the next one whose words differ."""
    swapped = []
    for number, episode in enumerate(episodes):
        others = [other.instruction for other in (*episodes[number + 1 :], *episodes[:number])]
        words = next((text for text in others if text != episode.instruction), episode.instruction)
        swapped.append(
            Episode(
                episode.source,
                words,
                episode.frames,
                episode.stamps,
                episode.command_stamps,
                episode.commands,
                episode.end,
            )
        )
    return swapped


def _run_stage(
    name: str,
    config: TrainingConfig,
    optimizer: OptimizerConfig,
    checkpoint: Checkpoint,
    step: Callable[[np.random.Generator], dict[str, float]],
    validate: Callable[[], dict[str, float]],
    log: SummaryWriter,
) -> None:
    done = checkpoint.resume()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[losses]}"),
    )
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task(name, total=optimizer.steps, completed=done, losses="")
        for number in range(done, optimizer.steps):
            # Dropout too is drawn anew for each step, so that a resumed run repeats an unbroken one.
            torch.manual_seed(config.seed + number)
            losses = step(np.random.default_rng([config.seed, number]))
            progress.update(bar, advance=1, losses="  ".join(f"{key} {value:.4f}" for key, value in losses.items()))
            finished = number + 1
            if finished % 50 == 0:
                for key, value in losses.items():
                    log.add_scalar(f"{name}/{key}", value, finished)
            if finished % VALIDATE_EVERY == 0 or finished == optimizer.steps:
                metrics = validate()
                for key, value in metrics.items():
                    log.add_scalar(f"{name}/validation/{key}", value, finished)
                shown = "  ".join(f"{key} {value:.3f}" for key, value in metrics.items())
                console.print(f"{name} step {finished}: {shown}")
            if finished % config.checkpoint_every == 0 or finished == optimizer.steps:
                checkpoint.save(finished)


def _batches(rows: NDArray[np.int64], size: int) -> Iterator[NDArray[np.int64]]:
    for begin in range(0, len(rows), size):
        yield rows[begin : begin + size]


def _git_revision() -> str:
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return found.stdout.strip()
