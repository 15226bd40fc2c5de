"""What a Kosmos-2 or CLIP in a file lacks, or has too much, beside the model that transformers builds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ..checkpoint.entry import TensorEntry
from ..errors import CheckpointError
from .layers import Shape, below, joined
from .releases import Release, deviations, released
from .structure import part_names
from .widths import Kind

__all__ = ["Difference", "Release", "compare", "deviations", "released", "visible_config"]

LANGUAGE_HEAD = "language head"
OLD_BUFFER = "buffer of transformers 4"

# Saved with the weights before transformers 4.31, and made anew by every version since.
_OLD_BUFFERS = ("embeddings.position_ids",)
_HEAD, _WORDS = "text_model.lm_head.weight", "text_model.model.embed_tokens.weight"


@dataclass(frozen=True)
class Difference:
    """How tensors differ from a model's, by their names in the file.

    Attributes:
        missing: shapes that the model has and the file lacks.
        unknown: shapes in the file that the model has no place for.
        wrong_shape: shape found and shape expected.
        left_over: what the model does without, and the file may have: why.
    """

    missing: dict[str, Shape]
    unknown: dict[str, Shape]
    wrong_shape: dict[str, tuple[Shape, Shape]]
    left_over: dict[str, str]

    @property
    def fits(self) -> bool:
        """Whether the model can be loaded from these tensors: what is left over does no harm."""
        return not (self.missing or self.unknown or self.wrong_shape)


def compare(entries: Mapping[str, TensorEntry], prefix: str, kind: Kind, config: Mapping[str, Any]) -> Difference:
    """Compare a model in a file with transformers' Kosmos2Model or CLIPModel.

    Args:
        entries: of the whole file.
        prefix: of the model in it, without the last dot.
        kind: of model.
        config: keys of its transformers configuration; the widths must be the file's own.

    Raises:
        CheckpointError: transformers builds no model of this configuration.
    """
    own = {name: entries[name] for name in part_names(entries, prefix, kind)}
    found = {name: entry.shape for name, entry in below(own, prefix).items()}
    expected = _expected(kind, config)
    left_over = {name: OLD_BUFFER for name in found.keys() - expected.keys() if name.endswith(_OLD_BUFFERS)}
    if kind == "kosmos2" and _HEAD in found and found[_HEAD] == found.get(_WORDS):
        left_over[_HEAD] = LANGUAGE_HEAD
    return Difference(
        missing={joined(prefix, name): shape for name, shape in expected.items() if name not in found},
        unknown={
            joined(prefix, name): shape
            for name, shape in found.items()
            if name not in expected and name not in left_over
        },
        wrong_shape={
            joined(prefix, name): (found[name], shape)
            for name, shape in expected.items()
            if name in found and found[name] != shape
        },
        left_over={joined(prefix, name): left_over[name] for name in found if name in left_over},
    )


def visible_config(kind: Kind, widths: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration of given widths to compare shapes with: a single head, since heads do not show in shapes."""
    heads = {"kosmos2": "attention_heads", "clip": "num_attention_heads"}
    config = dict(widths)
    # Nor do tokens, and the default ones may lie beyond the vocabulary.
    config["text_config"] = {**widths["text_config"], heads[kind]: 1, "bos_token_id": None, "eos_token_id": None}
    config["vision_config"] = {**widths["vision_config"], "num_attention_heads": 1}
    return config


def _expected(kind: Kind, config: Mapping[str, Any]) -> dict[str, Shape]:
    """Shapes of the model's parameters and lasting buffers, built without memory."""
    # It takes seconds to import, and a file without these models does without.
    from transformers import CLIPConfig, CLIPModel, Kosmos2Config, Kosmos2Model

    try:
        with torch.device("meta"):
            model = Kosmos2Model(Kosmos2Config(**config)) if kind == "kosmos2" else CLIPModel(CLIPConfig(**config))
    except (ValueError, TypeError, ArithmeticError, RuntimeError) as error:
        raise CheckpointError(f"transformers builds no {kind} of {dict(config)}: {error}") from error
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
