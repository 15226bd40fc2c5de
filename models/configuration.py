"""The configuration of a policy: everything that shapes its output, as one strict JSON document."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from transformers import CLIPConfig, Kosmos2Config

FeatureName = Literal["kosmos2_action_token", "clip_image", "clip_text", "clip_similarity"]


class Strict(BaseModel):
    """A pydantic model that refuses unknown keys, non-finite numbers and later changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ContinuousAction(Strict):
    """One continuous dimension. The head's tanh range [-1, 1] is mapped linearly onto [minimum, maximum] in `unit`."""

    name: str
    unit: str
    minimum: float
    maximum: float

    @model_validator(mode="after")
    def _ordered(self) -> ContinuousAction:
        if self.minimum >= self.maximum:
            raise ValueError(f"{self.name}: minimum {self.minimum} must be below maximum {self.maximum}")
        return self


class Limits(Strict):
    """Motion limits of the base that the policy was trained for; a node may tighten them, never loosen them."""

    linear_x_min: float = Field(le=0.0, description="m/s; 0 forbids reversing")
    linear_x_max: float = Field(gt=0.0, description="m/s")
    angular_z_max: float = Field(gt=0.0, description="rad/s, both directions")
    linear_acceleration: float = Field(gt=0.0, description="m/s^2")
    angular_acceleration: float = Field(gt=0.0, description="rad/s^2")
    linear_jerk: float = Field(gt=0.0, description="m/s^3")
    angular_jerk: float = Field(gt=0.0, description="rad/s^3")


class ActionSpec(Strict):
    """Names, units, ranges and limits of what the policy commands; the code knows no dimension but these."""

    continuous: tuple[ContinuousAction, ...] = Field(min_length=1)
    binary: tuple[str, ...]
    limits: Limits

    @model_validator(mode="after")
    def _unique_names(self) -> ActionSpec:
        names = [*(action.name for action in self.continuous), *self.binary]
        if len(set(names)) != len(names):
            raise ValueError(f"action names must be unique, got {names}")
        return self

    @property
    def minimum(self) -> NDArray[np.float32]:
        """Lower ends of the continuous ranges, float32 (k,), in their own units."""
        return np.array([action.minimum for action in self.continuous], dtype=np.float32)

    @property
    def maximum(self) -> NDArray[np.float32]:
        """Upper ends of the continuous ranges, float32 (k,), in their own units."""
        return np.array([action.maximum for action in self.continuous], dtype=np.float32)


class ImagePreprocessing(Strict):
    """Squash to a square of `size` pixels (area interpolation when shrinking), scale to [0, 1], normalise."""

    size: int = Field(gt=0)
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


class LSTMHeadConfig(Strict):
    """Sizes of the LSTM head; the peer framework's are hidden 1024, 4 layers, MLP (1024, 512, 256)."""

    type: Literal["lstm"] = "lstm"
    hidden_size: int = Field(gt=0)
    num_layers: int = Field(gt=0)
    mlp: tuple[int, ...] = Field(min_length=1)


class FusionConfig(Strict):
    """Which per-frame features are fused, and the width of the result."""

    features: tuple[FeatureName, ...] = Field(min_length=1)
    hidden_size: int = Field(gt=0)
    dropout: float = Field(ge=0.0, lt=1.0)

    @field_validator("features")
    @classmethod
    def _no_repeats(cls, features: tuple[FeatureName, ...]) -> tuple[FeatureName, ...]:
        if len(set(features)) != len(features):
            raise ValueError(f"features are listed twice in {features}")
        return features


class PolicyConfig(Strict):
    """Everything that shapes a policy's output.

    `kosmos2` and `clip` are the dictionaries of transformers' `Kosmos2Config` and `CLIPConfig`; keys unknown to
    those classes are refused. `prompt` and each of `similarity_prompts` may hold `{instruction}`.
    """

    schema_version: Literal[1] = 1
    dt: float = Field(gt=0.0, description="seconds between recurrent steps and between rows of a chunk")
    window: int = Field(gt=0, description="frames of history that the LSTM sees")
    chunk: int = Field(gt=0, description="future steps per inference")
    action: ActionSpec
    image: ImagePreprocessing
    prompt: str
    similarity_prompts: tuple[str, ...]
    kosmos2: dict[str, Any]
    clip: dict[str, Any]
    fusion: FusionConfig
    head: LSTMHeadConfig

    @field_validator("kosmos2")
    @classmethod
    def _known_kosmos2_keys(cls, value: dict[str, Any]) -> dict[str, Any]:
        _refuse_unknown_keys("kosmos2", value, Kosmos2Config().to_dict())
        return value

    @field_validator("clip")
    @classmethod
    def _known_clip_keys(cls, value: dict[str, Any]) -> dict[str, Any]:
        _refuse_unknown_keys("clip", value, CLIPConfig().to_dict())
        return value

    @model_validator(mode="after")
    def _prompts_hold_the_instruction(self) -> PolicyConfig:
        if "{instruction}" not in self.prompt:
            raise ValueError(f"prompt {self.prompt!r} must hold '{{instruction}}'")
        if "clip_similarity" in self.fusion.features and not self.similarity_prompts:
            raise ValueError("the feature clip_similarity needs at least one of similarity_prompts")
        return self

    @property
    def kosmos2_text_length(self) -> int:
        """Most tokens of a prompt that leave room for the image latents and the action token."""
        kosmos2: Any = Kosmos2Config(**self.kosmos2)
        return int(kosmos2.text_config.max_position_embeddings) - int(kosmos2.latent_query_num) - 1

    @property
    def clip_text_length(self) -> int:
        """Most tokens that CLIP's text tower takes."""
        clip: Any = CLIPConfig(**self.clip)
        return int(clip.text_config.max_position_embeddings)


def _refuse_unknown_keys(path: str, value: dict[str, Any], known: dict[str, Any]) -> None:
    """Raise ValueError for keys of `value` that `known` (the class's own dictionary) does not have."""
    for key, item in value.items():
        if key not in known:
            raise ValueError(f"unknown key {path}.{key}; known: {', '.join(sorted(known))}")
        if isinstance(item, dict) and isinstance(known[key], dict) and key in ("text_config", "vision_config"):
            _refuse_unknown_keys(f"{path}.{key}", item, known[key])
