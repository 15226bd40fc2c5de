"""Widths of Kosmos-2 and CLIP by the shapes of their tensors, under the keys of transformers' configurations."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ..checkpoint.entry import TensorEntry
from ..errors import CheckpointError
from .layers import below, joined, numbering_gaps

Kind = Literal["kosmos2", "clip"]

TOP = ""
"""The section of keys that stand at the top of a configuration."""


MOST_LAYERS = 1000
"""Of any tower there is: a higher number is no block's."""


@dataclass(frozen=True)
class Blocks:
    """The numbered blocks of a tower.

    Attributes:
        present: how many there are.
        layers: how many there should be: one more than the highest number.
        gaps: first and last number of each run of blocks that are missing.
    """

    present: int
    layers: int
    gaps: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class _Width:
    """Where a key of the configuration is seen: a dimension of a tensor; `{block}` is the first block there is."""

    section: str
    key: str
    tensor: str
    dimension: int


@dataclass(frozen=True)
class _Tower:
    """A tower in the configuration: its section, the key of its layers, and what precedes a block's number."""

    name: str
    section: str
    layers: str
    blocks: str


@dataclass(frozen=True)
class Architecture:
    """A model of transformers: what it is known by, and what of its configuration shapes show.

    Attributes:
        title: what people call it.
        roots: its modules.
        marks: beginnings of names that it is known by.
        marks_needed: how many of them; a damaged model may lack one.
        towers: its stacks of blocks.
        widths: where the keys of its configuration are seen.
        positions: the tensor with a row for the class token and each patch.
    """

    title: str
    roots: tuple[str, ...]
    marks: tuple[re.Pattern[str], ...]
    marks_needed: int
    towers: tuple[_Tower, ...]
    widths: tuple[_Width, ...]
    positions: str


def _mark(beginning: str) -> re.Pattern[str]:
    return re.compile(rf"(?P<prefix>(?:.+\.)?){beginning}")


_KOSMOS2_TEXT, _KOSMOS2_VISION = "text_model.model.layers.", "vision_model.model.encoder.layers."
_CLIP_TEXT, _CLIP_VISION = "text_model.encoder.layers.", "vision_model.encoder.layers."

ARCHITECTURES: Mapping[Kind, Architecture] = {
    "kosmos2": Architecture(
        title="Kosmos-2",
        roots=("text_model", "vision_model", "image_to_text_projection"),
        marks=(
            _mark(r"text_model\.model\.layers\.\d+\."),
            _mark(r"vision_model\.model\.encoder\.layers\.\d+\."),
            _mark(r"image_to_text_projection\."),
        ),
        marks_needed=2,
        towers=(
            _Tower("text_model", "text_config", "layers", _KOSMOS2_TEXT),
            _Tower("vision_model", "vision_config", "num_hidden_layers", _KOSMOS2_VISION),
        ),
        widths=(
            _Width("text_config", "vocab_size", "text_model.model.embed_tokens.weight", 0),
            _Width("text_config", "embed_dim", "text_model.model.embed_tokens.weight", 1),
            _Width("text_config", "ffn_dim", _KOSMOS2_TEXT + "{block}.ffn.fc1.weight", 0),
            _Width("vision_config", "hidden_size", "vision_model.model.embeddings.patch_embedding.weight", 0),
            _Width("vision_config", "intermediate_size", _KOSMOS2_VISION + "{block}.mlp.fc1.weight", 0),
            _Width("vision_config", "patch_size", "vision_model.model.embeddings.patch_embedding.weight", 3),
            _Width(TOP, "latent_query_num", "image_to_text_projection.latent_query", 0),
        ),
        positions="vision_model.model.embeddings.position_embedding.weight",
    ),
    "clip": Architecture(
        title="CLIP",
        roots=("text_model", "vision_model", "text_projection", "visual_projection", "logit_scale"),
        marks=(
            _mark(r"text_model\.encoder\.layers\.\d+\."),
            _mark(r"vision_model\.encoder\.layers\.\d+\."),
            # SigLIP, which has the same towers, has neither.
            _mark(r"(?:visual|text)_projection\.weight$"),
        ),
        marks_needed=3,
        towers=(
            _Tower("text_model", "text_config", "num_hidden_layers", _CLIP_TEXT),
            _Tower("vision_model", "vision_config", "num_hidden_layers", _CLIP_VISION),
        ),
        widths=(
            _Width("text_config", "vocab_size", "text_model.embeddings.token_embedding.weight", 0),
            _Width("text_config", "hidden_size", "text_model.embeddings.token_embedding.weight", 1),
            _Width("text_config", "intermediate_size", _CLIP_TEXT + "{block}.mlp.fc1.weight", 0),
            _Width("text_config", "max_position_embeddings", "text_model.embeddings.position_embedding.weight", 0),
            _Width("text_config", "projection_dim", "text_projection.weight", 0),
            _Width("vision_config", "hidden_size", "vision_model.embeddings.patch_embedding.weight", 0),
            _Width("vision_config", "intermediate_size", _CLIP_VISION + "{block}.mlp.fc1.weight", 0),
            _Width("vision_config", "patch_size", "vision_model.embeddings.patch_embedding.weight", 3),
            _Width("vision_config", "projection_dim", "visual_projection.weight", 0),
            _Width(TOP, "projection_dim", "visual_projection.weight", 0),
        ),
        positions="vision_model.embeddings.position_embedding.weight",
    ),
}


def kosmos2_widths(entries: Mapping[str, TensorEntry], prefix: str) -> dict[str, Any]:
    """The keys of a Kosmos2Config that tensors show; heads, activations and epsilons are not among them.

    Returns:
        `latent_query_num`; `text_config`: vocab_size, embed_dim, layers, ffn_dim; `vision_config`: hidden_size,
        intermediate_size, num_hidden_layers, patch_size, image_size. Layers are counted by the highest number, so that
        a block that is missing in between stays to be missed.

    Raises:
        CheckpointError: a tensor that shows one of them is missing or of an odd shape; all are named.
    """
    return _strict(entries, prefix, "kosmos2")


def clip_widths(entries: Mapping[str, TensorEntry], prefix: str) -> dict[str, Any]:
    """The keys of a CLIPConfig that tensors show; heads, activations and epsilons are not among them.

    Returns:
        `projection_dim`; `text_config`: vocab_size, hidden_size, intermediate_size, num_hidden_layers,
        max_position_embeddings, projection_dim; `vision_config`: hidden_size, intermediate_size, num_hidden_layers,
        patch_size, image_size, projection_dim. Layers are counted as in `kosmos2_widths`.

    Raises:
        CheckpointError: a tensor that shows one of them is missing or of an odd shape; all are named.
    """
    return _strict(entries, prefix, "clip")


def tower_blocks(entries: Mapping[str, TensorEntry], prefix: str, kind: Kind) -> dict[str, Blocks]:
    """The blocks of each tower, by its name."""
    tensors = below(entries, prefix)
    numbers = {tower.name: _numbers(tensors, tower.blocks) for tower in ARCHITECTURES[kind].towers}
    return {
        name: Blocks(len(found), max(found, default=-1) + 1, numbering_gaps(found)) for name, found in numbers.items()
    }


def visible_widths(entries: Mapping[str, TensorEntry], prefix: str, kind: Kind) -> tuple[dict[str, Any], list[str]]:
    """As `kosmos2_widths` and `clip_widths`, of a model that may be damaged.

    Returns:
        The keys that can be read, and for each of the others why it cannot.
    """
    architecture, tensors = ARCHITECTURES[kind], below(entries, prefix)
    start = joined(prefix, "")
    widths: dict[str, Any] = {}
    problems: list[str] = []
    first: dict[str, int] = {}
    for tower in architecture.towers:
        found = _numbers(tensors, tower.blocks)
        if found and max(found) >= MOST_LAYERS:
            problems.append(f"{start}{tower.blocks}{max(found)} is numbered beyond any {architecture.title}")
        elif found:
            widths.setdefault(tower.section, {})[tower.layers] = 1 + max(found)
            first[tower.blocks] = min(found)
        else:
            problems.append(f"{start}{tower.blocks}N.* is missing, which shows {tower.section}.{tower.layers}")
    for width in architecture.widths:
        blocks, _, _ = width.tensor.partition("{block}")
        name = width.tensor.format(block=first.get(blocks, "N"))
        key = f"{width.section}.{width.key}" if width.section else width.key
        if name not in tensors:
            problems.append(f"{start}{name} is missing, which shows {key}")
        elif len(tensors[name].shape) <= width.dimension:
            problems.append(f"{start}{name} has shape {tensors[name].shape}, which does not show {key}")
        else:
            section = widths.setdefault(width.section, {}) if width.section else widths
            section[width.key] = tensors[name].shape[width.dimension]
    _read_image_size(architecture, tensors, start, widths, problems)
    return widths, problems


def _read_image_size(
    architecture: Architecture,
    tensors: Mapping[str, TensorEntry],
    start: str,
    widths: dict[str, Any],
    problems: list[str],
) -> None:
    name, key = start + architecture.positions, "vision_config.image_size"
    entry = tensors.get(architecture.positions)
    if entry is None:
        problems.append(f"{name} is missing, which shows {key}")
        return
    patch_size = widths.get("vision_config", {}).get("patch_size")
    if patch_size is None:
        return  # said already
    patches = entry.shape[0] - 1 if entry.shape else 0
    side = math.isqrt(max(patches, 0))
    if not side or side * side != patches:
        problems.append(f"{name} has shape {entry.shape}, expected a class token and a square of patches as its rows")
        return
    widths["vision_config"]["image_size"] = side * patch_size


def _strict(entries: Mapping[str, TensorEntry], prefix: str, kind: Kind) -> dict[str, Any]:
    widths, problems = visible_widths(entries, prefix, kind)
    if problems:
        raise CheckpointError(f"{prefix or 'the file'} is no whole {ARCHITECTURES[kind].title}: {'; '.join(problems)}")
    return widths


def _numbers(tensors: Mapping[str, TensorEntry], blocks: str) -> set[int]:
    pattern = re.compile(re.escape(blocks) + r"(\d+)\.")
    return {int(match[1]) for name in tensors if (match := pattern.match(name))}
