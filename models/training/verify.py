"""Whether gradients reach what is to train, and nothing else: one forward and backward pass on random inputs."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.table import Table
from torch import Tensor, nn

from ..configuration import PolicyConfig, Strict
from ..documents import first_of, read_yaml, validate
from ..errors import TrainingConfigError
from ..modeling import EncodedInstruction, Observation, VLAModel
from ..prompt import ACTION, EncodedPrompt, Slot, Words, parse_prompt
from .groups import parameter_groups
from .tasks import TOTAL, ActionBatch, Batch, TasksConfig, VisionLanguageBatch, check_tasks, task_losses
from .trainable import TrainableConfig, set_trainable, trainable_names

SAMPLES = 2
_SHOWN = 6
_NUDGE = 0.05


class VerificationConfig(Strict):
    """Content of config/verify/*.yaml: a policy with random weights, what of it trains, and on what."""

    seed: int
    policy: PolicyConfig
    trainable: TrainableConfig
    tasks: TasksConfig


@dataclass(frozen=True)
class GroupGradients:
    """A module group after the backward pass; counts are of numbers, not of tensors.

    Attributes:
        name: of the group.
        parameters: all of them.
        trainable: those that require a gradient.
        norm: of the gradient of the whole group.
        verdict: "trains", "frozen", or what is wrong.
    """

    name: str
    parameters: int
    trainable: int
    norm: float
    verdict: str


@dataclass(frozen=True)
class GradientReport:
    """What one backward pass has shown.

    Attributes:
        groups: every module group of the model.
        failures: what must not be, a sentence each; empty if all is well.
        unused: trainable parameters that got no gradient, and that the loss does not depend on.
        zero: trainable parameters that got a gradient of zeros, such as weights on a recurrent state that is still
            zero in a window of one frame.
        nudged: trainable parameters, no biases, that were zero throughout and were moved for the check, as a factor of
            zero lets no gradient pass to what it is multiplied with: LoRA's B, the gates of Idefics's cross-attention.
        losses: by name, "loss" is their weighted sum.
    """

    groups: tuple[GroupGradients, ...]
    failures: tuple[str, ...]
    unused: tuple[str, ...]
    zero: tuple[str, ...]
    nudged: tuple[str, ...]
    losses: dict[str, float]


def read_verification_config(path: Path) -> VerificationConfig:
    """Read a configuration of the check.

    Raises:
        TrainingConfigError: missing file, not YAML, unknown or missing key, value out of range; each is named.
    """
    return validate(VerificationConfig, read_yaml(path, TrainingConfigError), path, TrainingConfigError)


def verify(path: Path) -> GradientReport:
    """Build the model that a configuration describes, freeze and thaw it, and check its gradients.

    Raises:
        TrainingConfigError: the configuration cannot be read, or cannot be met by the model.
    """
    config = read_verification_config(path)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            model = VLAModel(config.policy)
            set_trainable(model, config.trainable)
        return verify_gradients(model, config.trainable, config.tasks, config.seed)
    except ValueError as error:  # a missing part, a group that is not there, a sequence that is too long
        raise TrainingConfigError(f"{path}: {error}") from error


def verify_gradients(model: VLAModel, trainable: TrainableConfig, tasks: TasksConfig, seed: int) -> GradientReport:
    """Check one backward pass of every task on random inputs against what is to train.

    A trainable parameter without a gradient is either cut off (a detach() or a no_grad on the way) or not part of the
    computation at all (a vision tower's last block, where features are taken from an earlier one). Which of the two is
    measured: it is changed, and the loss changes or does not. The first is a failure; the second is one only if the
    whole group got nothing. Weights, mode and flags are left as they were; gradients are cleared.

    Args:
        model: after `set_trainable`.
        trainable: what `set_trainable` was given.
        tasks: of the training.
        seed: of the inputs, dropout and nudges; torch's global generator is left as it was.

    Raises:
        TrainingConfigError: the model cannot do the tasks, or lacks a group.
    """
    check_tasks(model, tasks)
    wanted = trainable_names(model, trainable)
    parameters = dict(model.named_parameters())
    # Those that stay frozen at zero are left alone: what they switch off would never train.
    nudged = {
        name: parameter
        for name, parameter in parameters.items()
        if name in wanted and not name.endswith("bias") and not bool(parameter.any())
    }
    modes = {module: module.training for module in model.modules()}
    model.train()
    try:
        with torch.random.fork_rng(), _changed(nudged.values(), seed):
            model.zero_grad(set_to_none=True)
            losses = random_losses(model, tasks, seed)
            if losses[TOTAL].requires_grad:
                losses[TOTAL].backward()
            gradients = {name: p.grad for name, p in parameters.items() if p.grad is not None}
            silent = [name for name in parameters if name in wanted and name not in gradients]
            cut = set(_that_matter(model, tasks, seed, silent))
    finally:
        for module, mode in modes.items():
            module.training = mode
        model.zero_grad(set_to_none=True)
    zero = tuple(name for name in gradients if name in wanted and not bool(gradients[name].any()))
    failures = _failures(parameters, wanted, gradients, cut)
    groups = []
    for group, members in parameter_groups(model).items():
        found, finding = _judge(group, members, wanted, gradients, cut)
        groups.append(found)
        failures += finding
    return GradientReport(
        groups=tuple(groups),
        failures=tuple(failures),
        unused=tuple(name for name in silent if name not in cut),
        zero=zero,
        nudged=tuple(nudged),
        losses={name: float(loss.detach()) for name, loss in losses.items()},
    )


def random_losses(model: VLAModel, tasks: TasksConfig, seed: int) -> dict[str, Tensor]:
    """Losses of every task on random inputs; the same inputs and dropout for the same seed, drawn globally."""
    torch.manual_seed(seed)
    batches: dict[str, Batch] = {}
    if tasks.action is not None:
        batches["action"] = random_action_batch(model)
    if tasks.vision_language is not None:
        batches["vision_language"] = random_vision_language_batch(model)
    return task_losses(model, batches, tasks)


def random_action_batch(model: VLAModel) -> ActionBatch:
    """Random pictures, token ids of the vocabulary and labels, from torch's global generator."""
    config, spec, device = model.config, model.config.action, model.device
    frames = (SAMPLES, config.window)
    size = config.image.size
    pictures = torch.randint(256, (*frames, len(config.cameras), size, size, 3), dtype=torch.uint8, device=device)
    state = torch.randn(*frames, len(config.state), device=device) if config.state else None
    parts = parse_prompt(config.prompt, config.cameras, bool(config.state), config.has_action_slot)
    text: dict[str, Tensor] = {}
    prompts = None
    if model.clip is not None and model.clip.reads and config.clip is not None:
        tower: Any = model.clip.clip.config.text_config
        count = SAMPLES * (1 + len(config.clip.prompts))
        ids = torch.randint(int(tower.vocab_size), (count, min(4, model.clip.text_length)), device=device)
        encoding = model.clip.encode_text(ids, torch.ones_like(ids))
        text = {name: value[:SAMPLES] for name, value in encoding.features("clip_text").items()}
        prompts = encoding.unit[SAMPLES:].view(SAMPLES, len(config.clip.prompts), model.clip.embedding_size)
    return ActionBatch(
        Observation(pictures, state),
        EncodedInstruction(_random_prompt(model, parts), text, prompts),
        torch.rand(*frames, config.chunk, len(spec.continuous), device=device) * 2.0 - 1.0,
        torch.randint(2, (*frames, config.chunk, len(spec.binary)), device=device).float(),
        torch.ones(*frames, config.chunk, dtype=torch.bool, device=device),
    )


def random_vision_language_batch(model: VLAModel) -> VisionLanguageBatch:
    """Random pictures, questions and answers, from torch's global generator."""
    config, size = model.config, model.config.image.size
    parts: tuple[Words | Slot, ...] = (*map(Slot, config.cameras), Words("question"), Slot(ACTION), Words("end"))
    shape = (SAMPLES, len(config.cameras), size, size, 3)
    lengths = tuple(range(2, 2 + SAMPLES))
    return VisionLanguageBatch(
        torch.randint(256, shape, dtype=torch.uint8, device=model.device),
        _random_prompt(model, parts),
        torch.randint(model.backbone.vocabulary_size, (SAMPLES, max(lengths)), device=model.device),
        lengths,
    )


def gradient_table(report: GradientReport) -> Table:
    """One row per module group."""
    table = Table(title="gradients of one backward pass on random inputs")
    for heading in ("group", "parameters", "trainable", "share", "gradient norm", "verdict"):
        table.add_column(heading, justify="left" if heading in ("group", "verdict") else "right")
    for group in report.groups:
        table.add_row(
            group.name,
            f"{group.parameters:,}",
            f"{group.trainable:,}",
            f"{100 * group.trainable / group.parameters:.1f} %",
            f"{group.norm:.3g}" if group.trainable or group.norm else "-",
            group.verdict,
        )
    parameters, trainable = sum(g.parameters for g in report.groups), sum(g.trainable for g in report.groups)
    table.add_section()
    table.add_row("all", f"{parameters:,}", f"{trainable:,}", f"{100 * trainable / parameters:.1f} %", "", "")
    return table


def gradient_notes(report: GradientReport) -> list[str]:
    """What else there is to say, a sentence each: losses, nudged, unused and zero parameters."""
    notes = [", ".join(f"{name} {value:.4g}" for name, value in report.losses.items())]
    if report.nudged:
        nudged = first_of(report.nudged, _SHOWN, ", ")
        notes.append(f"zero, moved for the check because a factor of zero passes no gradient: {nudged}")
    if report.unused:
        notes.append(f"trainable, but the loss does not depend on them: {first_of(report.unused, _SHOWN, ', ')}")
    if report.zero:
        notes.append(f"trainable, with a gradient of zeros here: {first_of(report.zero, _SHOWN, ', ')}")
    return notes


def _judge(
    group: str, members: dict[str, nn.Parameter], wanted: set[str], gradients: dict[str, Tensor], cut: set[str]
) -> tuple[GroupGradients, list[str]]:
    norm = math.sqrt(sum(float(gradients[name].double().square().sum()) for name in members if name in gradients))
    trains = {name for name in members if name in wanted}
    thawed = [name for name in members if name not in wanted and (members[name].requires_grad or name in gradients)]
    failures: list[str] = []
    verdict = "trains" if trains else "frozen"
    if thawed:
        verdict = "trains, should be frozen"
    elif not math.isfinite(norm):
        verdict = "not finite"
    elif trains and norm == 0.0:
        verdict = "no gradient"
        failures.append(
            f"group {group} is to train and gets no gradient at all: {first_of(sorted(trains), _SHOWN, ', ')}"
        )
    elif not cut.isdisjoint(members):
        verdict = "cut off in part"
    elif trains - gradients.keys():
        verdict = f"trains, {len(trains - gradients.keys())} tensors unused"
    total = sum(parameter.numel() for parameter in members.values())
    trainable = sum(parameter.numel() for parameter in members.values() if parameter.requires_grad)
    return GroupGradients(group, total, trainable, norm, verdict), failures


def _failures(
    parameters: dict[str, nn.Parameter], wanted: set[str], gradients: dict[str, Tensor], cut: set[str]
) -> list[str]:
    findings = {
        "to be frozen, but trains": [
            name for name, p in parameters.items() if name not in wanted and (p.requires_grad or name in gradients)
        ],
        "to train, but frozen": [name for name, p in parameters.items() if name in wanted and not p.requires_grad],
        "to train, and the loss depends on it, but no gradient arrives": [
            name for name, p in parameters.items() if name in cut and p.requires_grad
        ],
        "with a gradient that is not finite": [
            name for name, gradient in gradients.items() if not bool(gradient.isfinite().all())
        ],
    }
    return [f"{what}: {first_of(names, _SHOWN, ', ')}" for what, names in findings.items() if names]


def _that_matter(model: VLAModel, tasks: TasksConfig, seed: int, names: list[str]) -> list[str]:
    """Those of the parameters whose change alone changes the loss."""

    def loss(changed: list[str]) -> float:
        with torch.no_grad(), _changed([model.get_parameter(name) for name in changed], seed):
            return float(random_losses(model, tasks, seed)[TOTAL])

    before = loss([])
    # All at once first: mostly there is nothing to find, and one pass says so.
    return [] if loss(names) == before else [name for name in names if loss([name]) != before]


@contextmanager
def _changed(parameters: Collection[nn.Parameter], seed: int) -> Iterator[None]:
    """Add noise as large as the parameters are."""
    kept = [parameter.detach().clone() for parameter in parameters]
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in parameters:
            scale = max(float(parameter.float().std(correction=0)), _NUDGE)
            parameter.add_(torch.randn(parameter.shape, generator=generator).to(parameter) * scale)
    try:
        yield
    finally:
        with torch.no_grad():
            for parameter, values in zip(parameters, kept, strict=True):
                parameter.copy_(values)


def _random_prompt(model: VLAModel, parts: tuple[Words | Slot, ...]) -> EncodedPrompt:
    """Prompts of different lengths: 2 tokens for each stretch of words in the first, 3 in the second, ..."""
    stretches = sum(isinstance(part, Words) for part in parts)
    lengths = tuple((2 + sample,) * stretches for sample in range(SAMPLES))
    ids = torch.randint(model.backbone.vocabulary_size, (SAMPLES, max(map(sum, lengths))), device=model.device)
    for row, length in zip(ids, lengths, strict=True):
        row[sum(length) :] = 0
    return EncodedPrompt(parts, ids, torch.zeros_like(ids, dtype=torch.bool), lengths)
