"""The training configuration: one strict YAML document."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from ..configuration import PolicyConfig, Strict
from ..data.augmentation import AugmentationConfig
from ..data.balance import BalanceConfig
from ..data.configuration import SourceConfig
from ..documents import read_yaml, validate
from ..errors import TrainingConfigError
from .groups import Group
from .tasks import ActionTaskConfig
from .trainable import TrainableConfig


class OptimizerConfig(Strict):
    """AdamW with linear warm-up and cosine decay to zero; matrices decay, vectors do not.

    `batch_size` is of a whole step: all processes and their `accumulation` parts together.
    """

    steps: int = Field(gt=0)
    batch_size: int = Field(gt=0)
    accumulation: int = Field(default=1, gt=0, description="parts of a process's share that are run one by one")
    learning_rate: float = Field(gt=0.0)
    learning_rates: dict[Group, float] = Field(default={}, description="of groups that have another one")
    warmup_steps: int = Field(ge=0)
    weight_decay: float = Field(ge=0.0)
    gradient_norm: float = Field(gt=0.0, description="longer gradients are clipped to it")
    ema: float | None = Field(
        default=None, gt=0.0, lt=1.0, description="decay of the averaged weights that are kept instead of the last ones"
    )


class ScratchConfig(Strict):
    """All weights are drawn anew; the tokenizer is trained on the sentences of the data, for both text towers."""

    type: Literal["scratch"]
    vocab_size: int = Field(gt=260, description="tokens; must not exceed the text towers' vocabularies")
    policy: PolicyConfig


class PretrainedConfig(Strict):
    """A policy directory is trained on, such as `mobile-vla assemble` makes around a released model."""

    type: Literal["pretrained"]
    policy: Path


Start = Annotated[ScratchConfig | PretrainedConfig, Field(discriminator="type")]


class GroundingConfig(Strict):
    """First stage: where in the picture is what the words name, or is it nowhere."""

    views: Path
    validation_views: int = Field(gt=0)
    clip: OptimizerConfig
    kosmos2: OptimizerConfig
    instructions_per_view: int = Field(gt=0, description="Kosmos-2 prompts for each picture of a batch")
    absent_share: float = Field(ge=0.0, le=1.0, description="share of these that name nothing in the picture")


class ImitationConfig(Strict):
    """Second stage: the recorded commands.

    `trainable`: what trains beside fusion and head. Null: nothing does; features of the frozen towers are then computed
    once per frame and kept. `looks`: how many augmented versions of each frame are kept beside the plain one.
    """

    validation_share: float = Field(gt=0.0, lt=1.0, description="share of recordings held out, by seed")
    validation_frames: int = Field(gt=0, description="of the held-out ones, evenly spread, that are looked at")
    validate_every: int = Field(gt=0, description="optimizer steps")
    patience: int | None = Field(gt=0, description="validations without a better one before it stops; null: never")
    trainable: TrainableConfig | None
    task: ActionTaskConfig
    balance: BalanceConfig | None
    augmentation: AugmentationConfig | None
    looks: int = Field(ge=0)
    optimizer: OptimizerConfig

    @model_validator(mode="after")
    def _looks_are_kept(self) -> ImitationConfig:
        if self.looks and (self.trainable is not None or self.augmentation is None):
            raise ValueError("looks are of kept features and their augmentation: 0 where a tower trains, or without it")
        return self


class TrainingConfig(Strict):
    """Content of config/train/*.yaml. Paths are relative to the working directory.

    `output` is the folder of the run: the policy directories `last` and `best`, `checkpoints`, `features`, `log`.
    """

    seed: int = Field(ge=0)
    threads: int = Field(gt=0, description="torch CPU threads of each process")
    workers: int = Field(ge=0, description="processes that decode pictures; 0: none beside the training")
    output: Path
    checkpoint_every: int = Field(gt=0, description="optimizer steps")
    precision: Literal["fp32", "bf16", "fp16"] = Field(description="that is computed in; weights are trained as fp32")
    parallel: Literal["ddp", "fsdp"] = Field(description="of several processes; fsdp shards weights and moments")
    sources: tuple[SourceConfig, ...] = Field(min_length=1)
    start: Start
    grounding: GroundingConfig | None
    imitation: ImitationConfig

    @model_validator(mode="after")
    def _stages_fit(self) -> TrainingConfig:
        if self.grounding is not None and (self.start.type != "scratch" or self.parallel == "fsdp"):
            raise ValueError("grounding is for a policy from scratch, with parallel: ddp")
        if self.grounding is None and self.start.type == "scratch" and self.imitation.trainable is None:
            raise ValueError("imitation.trainable is null: random towers would stay random")
        return self


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
