"""What a Simple-CLIP-LSTM checkpoint is made of: its two models' configurations and the widths of its own layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import torch
from torch import nn
from transformers import CLIPConfig, CLIPModel, Kosmos2Config, Kosmos2ForConditionalGeneration, Kosmos2Model

from ..errors import ConversionError

LANGUAGE_HEAD = "kosmos_model.text_model.lm_head.weight"
WORDS = "kosmos_model.text_model.model.embed_tokens.weight"


class MlpLinear(NamedTuple):
    """A linear layer of the head."""

    inputs: int
    outputs: int


class MlpNorm(NamedTuple):
    """A layer norm of the head."""

    width: int


@dataclass(frozen=True)
class HybridLayout:
    """The architecture behind a checkpoint, as far as its tensors show it.

    Attributes:
        kosmos: transformers' Kosmos2Config as a dictionary.
        clip: transformers' CLIPConfig as a dictionary.
        fusion_inputs: width of the concatenated features.
        fusion_outputs: width after `feature_fusion`, the LSTM's input.
        lstm_hidden: width of the LSTM's state.
        lstm_layers: their number.
        mlp: the Sequential `actions.mlp`, an element for each index; None where an activation or dropout stood, which
            leaves no tensor.
        language_head: `text_model.lm_head.weight` is not there; shares the storage of the word embeddings, as
            transformers ties it; or is an equal copy.
        optimizer: whether Adam's moments of fusion, LSTM and head are kept beside the weights.
        prefix: before every name, such as "module." of DataParallel.

    Raises:
        ConversionError: the head's widths do not follow from each other.
    """

    kosmos: Mapping[str, Any]
    clip: Mapping[str, Any]
    fusion_inputs: int
    fusion_outputs: int
    lstm_hidden: int
    lstm_layers: int
    mlp: tuple[MlpLinear | MlpNorm | None, ...]
    language_head: Literal["none", "tied", "copied"]
    optimizer: bool
    prefix: str

    def __post_init__(self) -> None:
        layers = [layer for layer in self.mlp if layer is not None]
        widths = [(layer.width, layer.width) if isinstance(layer, MlpNorm) else layer for layer in layers]
        for (_, outputs), (inputs, _) in pairwise([(self.fusion_outputs, self.lstm_hidden), *widths]):
            if outputs != inputs:
                raise ConversionError(f"actions.mlp has a layer of {inputs} inputs after {outputs} outputs: {layers}")
        if not self.mlp or not isinstance(self.mlp[-1], MlpLinear):
            raise ConversionError(f"actions.mlp is {self.mlp}, expected to end in a linear layer")

    def module(self) -> HybridModule:
        """The network that such a checkpoint was saved from, on the meta device: names and shapes, no memory."""
        with torch.device("meta"):
            return HybridModule(self)


class HybridModule(nn.Module):
    """The submodules under their names and in the order of the checkpoint; it is not run."""

    def __init__(self, layout: HybridLayout) -> None:
        super().__init__()
        kosmos = Kosmos2Model if layout.language_head == "none" else Kosmos2ForConditionalGeneration
        self.kosmos_model = kosmos(Kosmos2Config(**layout.kosmos))
        self.clip_model = CLIPModel(CLIPConfig(**layout.clip))
        self.feature_fusion = nn.Linear(layout.fusion_inputs, layout.fusion_outputs)
        self.rnn = nn.LSTM(layout.fusion_outputs, layout.lstm_hidden, layout.lstm_layers, batch_first=True)
        self.actions = nn.ModuleDict({"mlp": nn.Sequential(*map(_layer, layout.mlp))})


def small(
    *,
    fusion_inputs: int = 160,
    language_head: Literal["none", "tied", "copied"] = "none",
    optimizer: bool = True,
    prefix: str = "",
) -> HybridLayout:
    """The full size with a sixteenth of every width, two blocks a tower, pictures of 28 px and a vocabulary of 300.

    Token ids are those of `train_tokenizer`: <pad> 0, <s> 1, </s> 3. With the default of `fusion_inputs`, as at full
    size, they can be one of the two Kosmos-2 features of 128 and one of the three CLIP features of 32; 272 and 304 are
    the other sums in question.
    """
    tokens = {"vocab_size": 300, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 3}
    tower = {"image_size": 28, "num_hidden_layers": 2, "num_attention_heads": 2}
    return HybridLayout(
        kosmos={
            "model_type": "kosmos-2",
            "latent_query_num": 4,
            "text_config": {
                **tokens,
                "max_position_embeddings": 128,
                "embed_dim": 128,
                "layers": 2,
                "ffn_dim": 512,
                "attention_heads": 2,
            },
            "vision_config": {**tower, "hidden_size": 64, "intermediate_size": 256, "patch_size": 7},
        },
        clip={
            "model_type": "clip",
            "projection_dim": 32,
            "text_config": {
                **tokens,
                "max_position_embeddings": 32,
                "hidden_size": 32,
                "intermediate_size": 128,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "projection_dim": 32,
            },
            "vision_config": {
                **tower,
                "hidden_size": 48,
                "intermediate_size": 192,
                "patch_size": 14,
                "projection_dim": 32,
            },
        },
        fusion_inputs=fusion_inputs,
        fusion_outputs=128,
        lstm_hidden=64,
        lstm_layers=4,
        mlp=_mlp(64, 32, 2),
        language_head=language_head,
        optimizer=optimizer,
        prefix=prefix,
    )


def _layer(layer: MlpLinear | MlpNorm | None) -> nn.Module:
    if layer is None:
        return nn.Identity()
    return nn.LayerNorm(layer.width) if isinstance(layer, MlpNorm) else nn.Linear(layer.inputs, layer.outputs)


def _mlp(inputs: int, hidden: int, outputs: int) -> tuple[MlpLinear | MlpNorm | None, ...]:
    """Linear, layer norm, activation and dropout, twice; then the output."""
    first = (MlpLinear(inputs, hidden), MlpNorm(hidden), None, None)
    second = (MlpLinear(hidden, hidden), MlpNorm(hidden), None, None)
    return (*first, *second, MlpLinear(hidden, outputs))


# microsoft/kosmos-2-patch14-224 and openai/clip-vit-base-patch32, written out: defaults may change.
FULL_SIZE = HybridLayout(
    kosmos={
        "model_type": "kosmos-2",
        "latent_query_num": 64,
        "text_config": {
            "vocab_size": 65037,
            "pad_token_id": 1,
            "bos_token_id": 0,
            "eos_token_id": 2,
            "max_position_embeddings": 2048,
            "embed_dim": 2048,
            "layers": 24,
            "ffn_dim": 8192,
            "attention_heads": 32,
        },
        "vision_config": {
            "image_size": 224,
            "patch_size": 14,
            "hidden_size": 1024,
            "intermediate_size": 4096,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
        },
    },
    clip={
        "model_type": "clip",
        "projection_dim": 512,
        "text_config": {
            "vocab_size": 49408,
            "pad_token_id": 1,
            "bos_token_id": 49406,
            "eos_token_id": 49407,
            "max_position_embeddings": 77,
            "hidden_size": 512,
            "intermediate_size": 2048,
            "num_hidden_layers": 12,
            "num_attention_heads": 8,
            "projection_dim": 512,
        },
        "vision_config": {
            "image_size": 224,
            "patch_size": 32,
            "hidden_size": 768,
            "intermediate_size": 3072,
            "num_hidden_layers": 12,
            "num_attention_heads": 12,
            "projection_dim": 512,
        },
    },
    fusion_inputs=2560,
    fusion_outputs=2048,
    lstm_hidden=1024,
    lstm_layers=4,
    mlp=_mlp(1024, 512, 2),
    language_head="none",
    optimizer=True,
    prefix="",
)
