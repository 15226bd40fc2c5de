"""The configuration of a policy: everything that shapes its output, as one strict JSON document."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from transformers import CLIPConfig

from .backbone.registry import backbone_configuration, find_backbone, refuse_unknown_keys
from .layers import Layer, output_width
from .prompt import ACTION, INSTRUCTION, STATE, parse_prompt
from .quantization.precision import Precision

BackboneFeature = Literal["backbone", "backbone_image", "backbone_vision"]
ClipImageFeature = Literal["clip_image", "clip_image_raw", "clip_image_pooled"]
ClipTextFeature = Literal["clip_text", "clip_text_raw", "clip_text_pooled"]
FeatureName = BackboneFeature | ClipImageFeature | ClipTextFeature | Literal["clip_similarity"]
Squash = Literal["tanh", "none"]
History = Literal["post", "pre", "video", "none"]


class Strict(BaseModel):
    """A pydantic model that refuses unknown keys, non-finite numbers and later changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ContinuousAction(Strict):
    """One continuous dimension. The head's range [-1, 1] is mapped linearly onto [minimum, maximum] in `unit`."""

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
    limits: Limits | None = Field(description="of the wheeled base; null for an action that drives none")

    @model_validator(mode="after")
    def _unique_names(self) -> ActionSpec:
        names = [*(action.name for action in self.continuous), *self.binary]
        if len(set(names)) != len(names):
            raise ValueError(f"action names must be unique, got {names}")
        return self

    @property
    def width(self) -> int:
        """Number of dimensions, both groups."""
        return len(self.continuous) + len(self.binary)

    @property
    def minimum(self) -> NDArray[np.float32]:
        """Lower ends of the continuous ranges, float32 (k,), in their own units."""
        return np.array([action.minimum for action in self.continuous], dtype=np.float32)

    @property
    def maximum(self) -> NDArray[np.float32]:
        """Upper ends of the continuous ranges, float32 (k,), in their own units."""
        return np.array([action.maximum for action in self.continuous], dtype=np.float32)


class ImagePreprocessing(Strict):
    """Squash to a square of `size` pixels, scale to [0, 1], normalise.

    `interpolation`: "area" (OpenCV; averages when shrinking), "bicubic" or "bilinear" (Pillow's; most released models
    had the former, torchvision's default is the latter).
    """

    size: int = Field(gt=0)
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: Literal["area", "bicubic", "bilinear"]


class StateDimension(Strict):
    """One dimension of the proprioceptive state; the model sees (value - mean) / std."""

    name: str
    unit: str
    mean: float
    std: float = Field(gt=0.0)


class BackboneConfig(Strict):
    """A vision-language model: which backbone drives it, and transformers' own configuration of it.

    `config` is the dictionary of a transformers configuration, `model_type` included; keys unknown to its class are
    refused. `language_head` keeps the head that spells tokens: spoken actions and vision-language training need it.
    """

    type: str
    config: dict[str, Any]
    language_head: bool

    @model_validator(mode="after")
    def _known(self) -> BackboneConfig:
        find_backbone(self.type)
        backbone_configuration(self.config)
        return self


class ResamplerConfig(Strict):
    """A Perceiver resampler between the pictures' features and the sequence; the peer's are 64, 6, 8, 64, 4."""

    latents: int = Field(gt=0)
    depth: int = Field(gt=0)
    heads: int = Field(gt=0)
    head_dim: int = Field(gt=0)
    ff_mult: int = Field(gt=0)


class ActionTokenReadout(Strict):
    """Learnt tokens in the prompt's place `{action}`; their last states are read."""

    type: Literal["action_token"]
    tokens: int = Field(gt=0)


class PooledReadout(Strict):
    """The states of the prompt's words, pictures, or all tokens, pooled to `tokens`; "max" alone to more than one."""

    type: Literal["pooled"]
    source: Literal["text", "vision", "all"]
    pooling: Literal["max", "mean", "first", "last"]
    tokens: int = Field(gt=0)

    @model_validator(mode="after")
    def _one_token(self) -> PooledReadout:
        if self.pooling != "max" and self.tokens != 1:
            raise ValueError(f"pooling {self.pooling!r} gives 1 token, not {self.tokens}")
        return self


class ClipConfig(Strict):
    """CLIP beside the backbone, on the first camera's pictures.

    `config` is the dictionary of transformers' `CLIPConfig`. For the feature `clip_similarity` each of `prompts` is
    compared with every patch; they may hold `{instruction}`.
    """

    config: dict[str, Any]
    prompts: tuple[str, ...]

    @field_validator("config")
    @classmethod
    def _known_keys(cls, value: dict[str, Any]) -> dict[str, Any]:
        refuse_unknown_keys("clip.config", value, CLIPConfig)
        return value


class _Features(Strict):
    """Which features of a frame are fused.

    `backbone`: the read-out; `backbone_image`: mean of the first camera's features in the sequence; `backbone_vision`:
    pooled state of the backbone's vision tower. Of CLIP, for picture and instruction: `*_pooled` state of the tower,
    `*_raw` projected from it, and plain the same at unit length; `clip_similarity`: how far each patch shows what each
    of `clip.prompts` names.
    """

    features: tuple[FeatureName, ...] = Field(min_length=1)

    @field_validator("features")
    @classmethod
    def _no_repeats(cls, features: tuple[FeatureName, ...]) -> tuple[FeatureName, ...]:
        if len(set(features)) != len(features):
            raise ValueError(f"features are listed twice in {features}")
        return features


class SumFusionConfig(_Features):
    """A linear projection of each feature to `hidden_size`, and their sum."""

    type: Literal["sum"]
    hidden_size: int = Field(gt=0)
    dropout: float = Field(ge=0.0, lt=1.0)


class ConcatFusionConfig(_Features):
    """Layers over the concatenated features; a number is a linear layer of that width."""

    type: Literal["concat"]
    layers: tuple[Layer, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _linear(self) -> ConcatFusionConfig:
        if not any(isinstance(layer, int) for layer in self.layers):
            raise ValueError(f"layers {self.layers} hold no linear one, that is no width")
        return self

    @property
    def hidden_size(self) -> int:
        """Width of the result."""
        return output_width(0, self.layers)


class _ActionLayers(Strict):
    """The MLPs from a frame's state to its actions.

    `mlp`: their layers, of which a number is a linear one of that width; one to the actions follows them. `squash`:
    what keeps the continuous group in [-1, 1]; "none" lets it leave its range, and only `action.limits` bound it.
    """

    mlp: tuple[Layer, ...]
    squash: Squash


class LSTMHeadConfig(_ActionLayers):
    """Sizes of the LSTM head; RoboVLMs' are hidden 1024, 4 layers, an MLP of 1024, 512 and 256 with ReLU."""

    type: Literal["lstm"]
    hidden_size: int = Field(gt=0)
    num_layers: int = Field(gt=0)
    dropout: float = Field(ge=0.0, lt=1.0)


class GPTHeadConfig(_ActionLayers):
    """Sizes of the GPT head; RoboVLMs' are hidden 1024, 8 layers, 8 heads, dropout 0.1."""

    type: Literal["gpt"]
    hidden_size: int = Field(gt=0)
    num_layers: int = Field(gt=0)
    num_heads: int = Field(gt=0)
    dropout: float = Field(ge=0.0, lt=1.0)


class FCHeadConfig(_ActionLayers):
    """Sizes of the head without memory."""

    type: Literal["fc"]
    hidden_size: int = Field(gt=0)


class DiscreteHeadConfig(Strict):
    """Actions as tokens of the backbone's vocabulary: `bins` of them, the last one just before id `end`.

    A continuous dimension's bin is (maximum - minimum) / (bins - 1) wide, in its own unit.
    """

    type: Literal["discrete"]
    bins: int = Field(gt=1)
    end: int = Field(gt=1)

    @model_validator(mode="after")
    def _fits(self) -> DiscreteHeadConfig:
        if self.bins > self.end:
            raise ValueError(f"{self.bins} bins do not fit below id {self.end}")
        return self


Readout = Annotated[ActionTokenReadout | PooledReadout, Field(discriminator="type")]
FusionConfig = Annotated[SumFusionConfig | ConcatFusionConfig, Field(discriminator="type")]
HeadConfig = Annotated[LSTMHeadConfig | GPTHeadConfig | FCHeadConfig | DiscreteHeadConfig, Field(discriminator="type")]


class PrecisionConfig(Strict):
    """In what numbers the weights are kept and multiplied, part by part.

    "int8" and "int4": weights only; "w8a8": activations of linear layers in 8 bits too. What is no matrix of a linear
    layer is bfloat16 beside them.

    `vision`: the backbone's vision tower and what leads from it to the sequence; `text`: the rest of the backbone, and
    what else stands in its sequence; `clip`: both its towers; `head`: fusion and head.
    """

    vision: Precision
    text: Precision
    clip: Precision
    head: Precision

    @property
    def parts(self) -> dict[str, Precision]:
        """Of each part, by its name."""
        return {part: getattr(self, part) for part in type(self).model_fields}

    @property
    def summary(self) -> str:
        """All parts in a line."""
        return ", ".join(f"{part} {precision.value}" for part, precision in self.parts.items())

    @field_validator("head")
    @classmethod
    def _plain(cls, value: Precision) -> Precision:
        if value.quantised:
            raise ValueError(f"precision {value.value} is for linear layers, the head has others: fp32, fp16 or bf16")
        return value


class PolicyConfig(Strict):
    """Everything that shapes a policy's output.

    `prompt` holds a place for the instruction, each camera, the state and the action (see `prompt.py`).

    `history` says how a window of frames becomes actions (Liu et al., 2024, RoboVLMs): "post": each frame alone
    through the backbone, the head remembers; "pre": the frames' prompts one after the other in one causal sequence;
    "video": all pictures in one prompt; "none": the newest frame only.
    """

    schema_version: Literal[3]
    dt: float = Field(gt=0.0, description="seconds between frames of the window and between rows of a chunk")
    window: int = Field(gt=0, description="frames that an action is drawn from")
    chunk: int = Field(gt=0, description="future steps per inference")
    action: ActionSpec
    cameras: tuple[str, ...] = Field(min_length=1, description="names; the first is the one that `step` is called with")
    image: ImagePreprocessing
    state: tuple[StateDimension, ...]
    prompt: str
    history: History
    backbone: BackboneConfig
    resampler: ResamplerConfig | None
    readout: Readout | None
    clip: ClipConfig | None
    fusion: FusionConfig | None
    head: HeadConfig
    precision: PrecisionConfig

    @property
    def features(self) -> tuple[FeatureName, ...]:
        """What the head sees of a frame."""
        return self.fusion.features if self.fusion is not None else ("backbone",)

    @property
    def clip_reads(self) -> bool:
        """Whether actions depend on what CLIP makes of the words."""
        return any(name.startswith("clip_text") or name == "clip_similarity" for name in self.features)

    @property
    def has_action_slot(self) -> bool:
        """Whether the prompt holds `{action}`."""
        return self.readout is None or self.readout.type == "action_token"

    @model_validator(mode="after")
    def _parts_fit(self) -> PolicyConfig:
        for key, names in (("cameras", self.cameras), ("state", tuple(part.name for part in self.state))):
            if len(set(names)) != len(names):
                raise ValueError(f"{key} must have names of their own, got {names}")
        for camera in self.cameras:
            if re.fullmatch(r"\w+", camera) is None or camera in (INSTRUCTION, STATE, ACTION):
                raise ValueError(
                    f"a camera cannot be called {camera!r}: letters, digits and _, and no other place's name"
                )
        for prompt in self.clip.prompts if self.clip is not None else ():
            if re.findall(r"\{.*?\}", prompt) not in ([], ["{instruction}"]):
                raise ValueError(f"clip.prompts: {prompt!r} may hold {{instruction}} once and no other place")
        parse_prompt(self.prompt, self.cameras, bool(self.state), self.has_action_slot)
        if (self.readout is None) != (self.head.type == "discrete"):
            raise ValueError(
                f"readout must be null with the discrete head and only with it; head is {self.head.type!r}, "
                f"readout {self.readout!r}"
            )
        if self.head.type == "discrete":
            if not self.backbone.language_head:
                raise ValueError("the discrete head speaks through the backbone: backbone.language_head must be true")
            if self.fusion is not None:
                raise ValueError("the discrete head reads no features: fusion must be null")
            if self.history == "video":
                raise ValueError("the discrete head answers each frame's prompt: history must be post, pre or none")
        if self.history == "none" and self.window != 1:
            raise ValueError(f"history 'none' has a window of 1, not {self.window}")
        wants_clip = any(name.startswith("clip") for name in self.features)
        if wants_clip != (self.clip is not None):
            raise ValueError("clip must be given if, and only if, fusion.features name features of CLIP")
        if self.history == "video" and set(self.features) != {"backbone"}:
            raise ValueError("features other than 'backbone' are of single frames: history must not be video")
        if self.clip is not None and ("clip_similarity" in self.features) != bool(self.clip.prompts):
            raise ValueError("clip.prompts must be given if, and only if, fusion.features name clip_similarity")
        return self
