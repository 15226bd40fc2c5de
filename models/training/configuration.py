"""The training configuration: one strict YAML document."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from ..configuration import PolicyConfig, Strict
from ..documents import read_yaml, validate
from ..errors import TrainingConfigError


class TokenizerConfig(Strict):
    """The tokenizer is trained on the sentences of the data, for both text towers."""

    vocab_size: int = Field(gt=260, description="tokens; must not exceed the text towers' vocabularies")


class OptimizerConfig(Strict):
    """AdamW with linear warm-up and cosine decay to zero."""

    steps: int = Field(gt=0)
    batch_size: int = Field(gt=0)
    learning_rate: float = Field(gt=0.0)
    warmup_steps: int = Field(ge=0)
    weight_decay: float = Field(ge=0.0)
    gradient_norm: float = Field(gt=0.0)


class GroundingConfig(Strict):
    """First stage: where in the picture is what the words name, or is it nowhere."""

    views: Path
    validation_views: int = Field(gt=0)
    clip: OptimizerConfig
    kosmos2: OptimizerConfig
    instructions_per_view: int = Field(gt=0, description="Kosmos-2 prompts for each picture of a batch")
    absent_share: float = Field(ge=0.0, le=1.0, description="share of these that name nothing in the picture")


class ImitationConfig(Strict):
    """Second stage: the expert's commands, from features of the grounded towers."""

    bags: Path
    validation_share: float = Field(gt=0.0, lt=1.0, description="share of episodes held out, by seed")
    optimizer: OptimizerConfig
    stop_weight: float = Field(ge=0.0, description="weight of the stop loss beside the velocity loss")


class TrainingConfig(Strict):
    """Content of config/train/*.yaml. Paths are relative to the working directory."""

    seed: int
    threads: int = Field(gt=0, description="torch CPU threads")
    output: Path
    checkpoints: Path
    checkpoint_every: int = Field(gt=0, description="optimizer steps")
    tokenizer: TokenizerConfig
    grounding: GroundingConfig
    imitation: ImitationConfig
    policy: PolicyConfig


def read_training_config(path: Path) -> TrainingConfig:
    """Read a training configuration.

    Raises:
        TrainingConfigError: missing file, not YAML, unknown or missing key, value out of range; each is named.
    """
    return validate(TrainingConfig, read_yaml(path, TrainingConfigError), path, TrainingConfigError)


def read_recipe(path: Path) -> list[str]:
    """The commands in a configuration's header: comment lines that are indented by three spaces."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line.removeprefix("#   ") for line in lines if line.startswith("#   ")]
