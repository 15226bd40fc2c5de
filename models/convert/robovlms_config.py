"""From a RoboVLMs configuration to a policy's: what shapes the output is obeyed or refused, the rest ignored knowingly.

Of actions a RoboVLMs configuration tells the numbers, not their meaning. Names are those of its data sets (position,
Euler angles, gripper with 1 = open). The unit is "as in <data set>": CALVIN's relative actions are shares of the
largest step that its controller takes, OXE's are as each robot recorded them, and neither is said in the file. Nor is
`dt`, the seconds between frames.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from transformers import PreTrainedTokenizerBase

from ..configuration import PolicyConfig
from ..documents import findings
from ..errors import ConversionError
from ..preprocessing import CLIP_MEAN, CLIP_STD
from . import robovlms_keys as keys
from .document import Section, read_json
from .kosmos2 import kosmos2_configuration
from .robovlms_head import ARM, HeadTranslation, translate_head
from .robovlms_prompt import continuous_prompt, discrete_prompt, end_of_actions

# What RoboVLMs builds whatever its configuration says.
RESAMPLER = {"latents": 64, "depth": 6, "heads": 8, "head_dim": 64, "ff_mult": 4}
# Room for the words of a prompt where many prompts lie in one sequence.
WORDS = 128


@dataclass(frozen=True)
class LoraSettings:
    """Scale of the adapters: `alpha / rank`; both are only in the configuration, not in a checkpoint."""

    rank: int
    alpha: float


@dataclass(frozen=True)
class Translation:
    """What a configuration comes to.

    Attributes:
        config: of the policy.
        lora: None for a model without adapters.
        notes: what a reader should know: differences that are meant, keys without effect that look as if they had one.
    """

    config: PolicyConfig
    lora: LoraSettings | None
    notes: tuple[str, ...]


def translate(document: dict[str, Any], tokenizer: PreTrainedTokenizerBase, dt: float) -> Translation:
    """Make a policy's configuration.

    Args:
        document: of `read_configuration`.
        tokenizer: of the backbone.
        dt: seconds between frames.

    Raises:
        ConversionError: names the key, its value and what is supported.
    """
    return _Translator(document, tokenizer).translate(dt)


class _Translator:
    def __init__(self, document: dict[str, Any], tokenizer: PreTrainedTokenizerBase) -> None:
        self._top = Section(document)
        self._tokenizer = tokenizer
        self._notes: list[str] = []
        self._refuse_what_cannot_be_said()
        self._head = self._top.section("act_head")
        self._setup = self._top.section("train_setup")
        self._vlm = self._top.section("vlm")
        self._window = self._top.require("window_size", int)
        self._chunk = self._top.require("fwd_pred_next_n", int)
        self._data = self._top.value("train_dataset")
        self._cameras = self._places()

    def translate(self, dt: float) -> Translation:
        backbone = self._backbone()
        resampler = RESAMPLER if self._top.get("use_vision_resampler", False) else None
        part = translate_head(self._head, backbone["text_config"]["embed_dim"])
        self._notes += part.notes
        self._make_room(backbone, part, resampler)
        size, trained = self._top.get("image_size", 224), backbone["vision_config"]["image_size"]
        if size != trained:
            self._top.expect("image_size", size, trained, "the size that the vision tower was made for")
        head, prompt = part.head, ""
        if part.readout is None:
            head = head | {"end": end_of_actions(self._tokenizer)}
            prompt = discrete_prompt(self._tokenizer, self._cameras, self._chunk)
        else:
            reads_action = part.readout["type"] == "action_token"
            prompt = continuous_prompt(self._tokenizer, self._cameras, action_tokens=reads_action)
        lora, action = self._lora(), self._action()
        self._notes += self._remarks()
        document = {
            "schema_version": 3,
            "dt": dt,
            "window": self._window,
            "chunk": self._chunk,
            "action": action,
            "cameras": self._cameras[::-1],
            "image": {"size": size, "mean": CLIP_MEAN, "std": CLIP_STD, "interpolation": "bicubic"},
            "state": (),
            "prompt": prompt,
            "history": part.history,
            "backbone": {"type": "kosmos2", "config": backbone, "language_head": part.readout is None},
            "resampler": resampler,
            "readout": part.readout,
            "clip": None,
            "fusion": None,
            "head": head,
            "precision": {"vision": "fp32", "text": "fp32", "clip": "fp32", "head": "fp32"},
        }
        try:
            config = PolicyConfig.model_validate(document)
        except ValidationError as error:
            raise ConversionError(f"the configuration makes no policy: {findings(error)}") from error
        return Translation(config, lora, tuple(self._notes))

    @property
    def _data_type(self) -> str | None:
        return self._data.get("type") if isinstance(self._data, dict) else None

    def _places(self) -> tuple[str, ...]:
        """Cameras in the order of their places in the prompt.

        RoboVLMs inserts the hand camera's picture last, and both behind the first token: it comes to lie first.
        """
        if not self._top.require("use_hand_rgb", bool):
            return ("front",)
        if self._data_type == "OpenVLADataset":
            self._notes.append(
                "use_hand_rgb is true, but OpenVLADataset has no hand camera: the model was trained without one"
            )
            return ("front",)
        return ("hand", "front")

    def _refuse_what_cannot_be_said(self) -> None:
        top = self._top
        top.value("parent")
        top.expect("robovlm_name", top.require("robovlm_name", str), "RoboKosMos")
        top.expect("model", top.require("model", str), "kosmos", "it decides the prompt and the pictures' preparation")
        top.expect("fwd_head", top.value("fwd_head"), None)
        if top.value("act_head") is None:
            raise ConversionError("act_head is null: there is no policy without an action head")
        for key, why in (
            ("regular_action", "RoboVLMs' evaluation never undoes it"),
            ("use_mu_law", "actions of a policy are linear in its outputs"),
            ("tcp_rel", "actions would be in the tool's frame"),
        ):
            top.expect(key, bool(top.value(key)), False, why)

    def _backbone(self) -> dict[str, Any]:
        path = Path(self._vlm.require("pretrained_model_name_or_path", str)) / "config.json"
        if not path.is_file():
            raise ConversionError(
                f"vlm.pretrained_model_name_or_path: there is no {path}: download the model that was fine-tuned, or "
                "write into the configuration where it lies"
            )
        return kosmos2_configuration(read_json(path), str(path))

    def _action(self) -> dict[str, Any]:
        low, high = -1.0, 1.0
        bounds = {key: self._top.value(key) for key in ("norm_min", "norm_max")}
        if self._top.get("norm_action", False):
            low, high = (self._top.require(key, float) for key in bounds)
        unit = f"as in {self._data_type or 'its training data'}"
        return {
            "continuous": [{"name": name, "unit": unit, "minimum": low, "maximum": high} for name in ARM],
            "binary": ("gripper",),
            "limits": None,
        }

    def _make_room(self, backbone: dict[str, Any], part: HeadTranslation, resampler: dict[str, int] | None) -> None:
        """Let the positions reach to the end of a window in one sequence: they are sines, and cost no weights."""
        text = backbone["text_config"]
        pictures = len(self._cameras) * (resampler["latents"] if resampler else backbone["latent_query_num"])
        answer = self._chunk * (len(ARM) + 1) if part.readout is None else part.readout["tokens"]
        needed = {
            "pre": self._window * (pictures + WORDS + answer),
            "video": self._window * pictures + WORDS + answer,
        }.get(part.history, 0)
        if needed > text["max_position_embeddings"]:
            self._notes.append(
                f"text_config.max_position_embeddings raised from {text['max_position_embeddings']} to {needed}, for "
                f"{self._window} frames in one sequence; RoboVLMs computes positions beyond the first number as well"
            )
            text["max_position_embeddings"] = needed

    def _lora(self) -> LoraSettings | None:
        rank, alpha = self._setup.value("lora_r"), self._setup.value("lora_alpha")
        if not self._setup.get("lora_enable", False):
            return None
        rank, alpha = self._setup.require("lora_r", int), self._setup.require("lora_alpha", float)
        if rank < 1:
            self._setup.expect("lora_r", rank, "at least 1")
        return LoraSettings(rank, alpha)

    def _remarks(self) -> Iterator[str]:
        head, top = self._head, self._top
        for key, value in (("window_size", self._window), ("fwd_pred_next_n", self._chunk)):
            if head.value(key) not in (None, value):
                yield f"act_head.{key} is {head.value(key)} without effect; {key} {value} of the top level holds"
        if top.value("vision_resampler") and top.get("use_vision_resampler", False):
            sizes = ", ".join(f"{key} {value}" for key, value in RESAMPLER.items())
            yield f"vision_resampler has no effect, the resampler always is: {sizes}"
        for key, used in (("image_mean", CLIP_MEAN), ("image_std", CLIP_STD)):
            if top.value(key) is not None and top.value(key) != list(used):
                yield f"{key} {top.value(key)} has no effect, RoboVLMs always takes CLIP's {list(used)}"
        if top.value("use_state"):
            yield "use_state has no effect: RoboVLMs asks for it by another name, its models take no state"
        if self._data_type == "OpenVLADataset":
            yield (
                f"the prompt is that of RoboVLMs' evaluation; OpenVLADataset has used another one in training: "
                f"'Input: What {self._chunk} step actions should the robot take to ...'"
            )
        tokenizer = top.section("tokenizer")
        tokenizer.value("additional_special_tokens")
        tokenizer.value("pretrained_model_name_or_path")
        for section, ignored in (
            (top, keys.TOP),
            (head, keys.ACT_HEAD),
            (self._setup, keys.TRAIN_SETUP),
            (tokenizer, keys.TOKENIZER),
            (self._vlm, keys.VLM),
        ):
            for key in section.unknown(ignored):
                yield f"{key} is unknown and was not looked at"
