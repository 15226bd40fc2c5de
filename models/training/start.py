"""What a training begins with: the model and its encoder, drawn anew or from a policy directory; and the split."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..configuration import ClipConfig, PolicyConfig, PrecisionConfig
from ..data.augmentation import mirror_sentence
from ..data.episode import Episode
from ..data.sources import open_source
from ..data.views import read_index
from ..errors import DataError, TrainingConfigError
from ..instruction import InstructionEncoder
from ..modeling import initialise
from ..policy import VLAPolicy
from ..policy_directory import PolicyParts
from ..prompt import Words, parse_prompt
from ..quantization.precision import Precision
from ..text import train_tokenizer
from .configuration import ScratchConfig, TrainingConfig


def read_episodes(config: TrainingConfig) -> list[Episode]:
    """Every episode of every source.

    Raises:
        DataError: a source cannot be read, or too few episodes for a split.
    """
    episodes = [episode for source in config.sources for episode in open_source(source)]
    if len(episodes) < 2:
        raise DataError(f"{config.sources[0].path} holds {len(episodes)} episode; at least 2 are needed for a split")
    return episodes


def split_episodes(episodes: Sequence[Episode], share: float, seed: int) -> tuple[list[Episode], list[Episode]]:
    """Split by recording (scenes are never on both sides), drawn by the seed: (train, held out).

    Of a single recording, the episodes are split.
    """
    single = len({episode.recording for episode in episodes}) == 1
    units = [episode.source if single else episode.recording for episode in episodes]
    names = sorted(set(units))
    order = np.random.default_rng(seed).permutation(len(names))
    count = min(len(names) - 1, max(1, round(len(names) * share)))
    held_out = {names[i] for i in order[:count]}
    sides: tuple[list[Episode], list[Episode]] = ([], [])
    for episode, unit in zip(episodes, units, strict=True):
        sides[unit in held_out].append(episode)
    return sides


def make_policy(config: TrainingConfig, episodes: Sequence[Episode]) -> PolicyParts:
    """The policy that trains, its weights in float32.

    Raises:
        TrainingConfigError: the policy cannot be trained so.
        PolicyDirectoryError: a pretrained one cannot be read.
    """
    if config.start.type == "pretrained":
        return _pretrained(config.start.policy)
    if config.grounding is not None:
        check_recipe(config.start.policy)
    sentences = [episode.instruction for episode in episodes]
    if config.imitation.augmentation is not None and config.imitation.augmentation.mirror:
        sentences += [mirror_sentence(sentence) for sentence in sentences]
    if config.grounding is not None:
        sentences += read_index(config.grounding.views).sentences
    policy = config.start.policy
    return PolicyParts(policy, initialise(policy, config.seed), make_encoder(config.start, sentences))


def _pretrained(path: Path) -> PolicyParts:
    policy = VLAPolicy.from_pretrained(path, dtype="float32")
    quantised = [part for part, precision in policy.config.precision.parts.items() if precision.quantised]
    if quantised:
        raise TrainingConfigError(
            f"start.policy: {path} is quantised ({', '.join(quantised)}) and cannot be trained on"
        )
    plain = PrecisionConfig(**dict.fromkeys(policy.config.precision.parts, Precision.FP32))
    config = policy.config.model_copy(update={"precision": plain})
    policy.model.config = policy.encoder.config = config
    return PolicyParts(config, policy.model, policy.encoder)


def make_encoder(start: ScratchConfig, sentences: Sequence[str]) -> InstructionEncoder:
    """Train one small tokenizer on all sentences of the data, and use it for both towers.

    Raises:
        TrainingConfigError: it has more tokens than a tower.
    """
    policy, clip = start.policy, start.policy.clip
    parts = parse_prompt(policy.prompt, policy.cameras, bool(policy.state), policy.has_action_slot)
    words = [part.text.replace("{instruction}", "") for part in parts if isinstance(part, Words)]
    compared = list(clip.prompts) if clip is not None else []
    towers = {"backbone": policy.backbone.config} | ({"clip": clip.config} if clip is not None else {})
    lengths = [int(tower["text_config"]["max_position_embeddings"]) for tower in towers.values()]
    tokenizer = train_tokenizer([*sentences, *words, *compared], start.vocab_size, max_length=min(lengths))
    for name, tower in towers.items():
        vocabulary = tower["text_config"]["vocab_size"]
        if len(tokenizer) > vocabulary:
            raise TrainingConfigError(
                f"start.policy.{name}.config.text_config.vocab_size is {vocabulary}, "
                f"the tokenizer has {len(tokenizer)} tokens"
            )
    return InstructionEncoder(policy, tokenizer, tokenizer if policy.clip_reads else None)


def check_recipe(policy: PolicyConfig) -> ClipConfig:
    """CLIP's part of a policy that can be grounded.

    Raises:
        TrainingConfigError: grounding is not for such a policy; what is in the way is named.
    """
    for key, found, expected in (
        ("cameras", len(policy.cameras), 1),
        ("state", policy.state, ()),
        ("history", policy.history, "post"),
        ("readout.type", policy.readout.type if policy.readout is not None else None, "action_token"),
        ("fusion", policy.fusion is not None, True),
    ):
        if found != expected:
            raise TrainingConfigError(f"start.policy.{key} is {found}; grounding is for {expected}")
    if policy.clip is None:
        raise TrainingConfigError("start.policy.clip is null: words are grounded in CLIP first")
    return policy.clip
