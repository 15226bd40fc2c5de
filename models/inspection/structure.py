"""What models a file of weights holds, from the names and shapes of its tensors alone."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..checkpoint.entry import TensorEntry
from ..errors import CheckpointError
from .layers import (
    LSTMSizes,
    RecurrentSizes,
    StackLayer,
    is_recurrent,
    joined,
    read_lstm,
    read_stack,
    recurrent_sizes,
)
from .values import dtype_name
from .widths import ARCHITECTURES, Blocks, Kind, clip_widths, kosmos2_widths, tower_blocks, visible_widths

__all__ = [
    "Contents",
    "LSTMSizes",
    "Part",
    "RecurrentPart",
    "RecurrentSizes",
    "StackLayer",
    "StackPart",
    "TransformersPart",
    "UnknownPart",
    "clip_widths",
    "contents",
    "find_parts",
    "kosmos2_widths",
    "read_lstm",
    "read_stack",
]

_NUMBERED = re.compile(r"(?:(?P<prefix>.+)\.)?\d+\.(?:weight|bias)")
# Stacks that a policy is known to have: one that cannot be read is worth a word, and not merely unknown.
_STACKS = ("feature_fusion", "mlp")


@dataclass(frozen=True)
class Contents:
    """How much there is. Tensors that share their bytes count once.

    Attributes:
        tensors: names, tied ones too.
        parameters: elements of floating-point tensors.
        bytes: of all tensors, by dtype (`float32`, ...).
    """

    tensors: int
    parameters: int
    bytes: dict[str, int]


@dataclass(frozen=True)
class Part:
    """A model within the file.

    Attributes:
        prefix: of its tensors' names, without the last dot; empty for none.
        names: its tensors, in the file's order.
        contents: how much it holds.
        problems: why it is not what it seems to be; empty if it is.
    """

    prefix: str
    names: tuple[str, ...]
    contents: Contents
    problems: tuple[str, ...]


@dataclass(frozen=True)
class TransformersPart(Part):
    """A Kosmos-2 or CLIP as transformers names it.

    Attributes:
        kind: which of the two.
        widths: keys of its configuration, as `kosmos2_widths` and `clip_widths`, as far as tensors show them.
        blocks: of the towers `text_model` and `vision_model`.
    """

    kind: Kind
    widths: dict[str, Any]
    blocks: dict[str, Blocks]


@dataclass(frozen=True)
class RecurrentPart(Part):
    """A recurrent network.

    Attributes:
        sizes: None if they cannot be read.
    """

    sizes: RecurrentSizes | None


@dataclass(frozen=True)
class StackPart(Part):
    """A Linear, or a Sequential of Linear and LayerNorm.

    Attributes:
        layers: by index; empty if they cannot be read.
    """

    layers: tuple[StackLayer, ...]


@dataclass(frozen=True)
class UnknownPart(Part):
    """Tensors of no known kind."""


def find_parts(entries: Mapping[str, TensorEntry]) -> tuple[Part, ...]:
    """Find the models, in the order in which they begin in the file.

    Known are Kosmos-2 and CLIP of transformers, recurrent networks of torch.nn, and stacks of Linear and LayerNorm;
    what is left is grouped by what its names begin with. Every tensor is in one part.
    """
    left = dict(entries)
    parts: list[Part] = []
    for kind in ARCHITECTURES:
        for prefix in _transformers_prefixes(left, kind):
            parts.append(_transformers_part(left, prefix, kind))
            _take(left, parts[-1])
    for prefix in _recurrent_prefixes(left):
        parts.append(_recurrent_part(left, prefix))
        _take(left, parts[-1])
    for prefix in _stack_prefixes(left):
        stack = _stack_part(left, prefix)
        if prefix.rpartition(".")[2] in _STACKS or any(layer.bias for layer in stack.layers):
            parts.append(stack)
            _take(left, stack)
    known = [part.prefix for part in parts]
    groups: dict[str, list[str]] = {}
    for name in left:
        groups.setdefault(_beginning(name, known), []).append(name)
    parts += [UnknownPart(prefix, tuple(names), contents(left, names), ()) for prefix, names in groups.items()]
    position = {name: index for index, name in enumerate(entries)}
    return tuple(sorted(parts, key=lambda part: position[part.names[0]]))


def contents(entries: Mapping[str, TensorEntry], names: Iterable[str]) -> Contents:
    """Count tensors, parameters and bytes."""
    named = list(names)
    distinct = {
        (entry.file, entry.offset, entry.shape, entry.dtype): entry for entry in map(entries.__getitem__, named)
    }
    size: Counter[str] = Counter()
    for entry in distinct.values():
        size[dtype_name(entry.dtype)] += entry.nbytes
    parameters = sum(entry.numel for entry in distinct.values() if entry.dtype.is_floating_point)
    return Contents(len(named), parameters, dict(size.most_common()))


def part_names(entries: Iterable[str], prefix: str, kind: Kind) -> tuple[str, ...]:
    """The names that belong to a Kosmos-2 or CLIP: below its prefix, in one of the modules it has."""
    roots = {joined(prefix, root) for root in ARCHITECTURES[kind].roots}
    return tuple(name for name in entries if any(name == root or name.startswith(f"{root}.") for root in roots))


def _take(left: dict[str, TensorEntry], part: Part) -> None:
    for name in part.names:
        del left[name]


def _transformers_prefixes(entries: Mapping[str, TensorEntry], kind: Kind) -> list[str]:
    """Prefixes that have what this kind is known by; a damaged model may lack a tower."""
    found: dict[str, set[str]] = {}
    for name in entries:
        for mark in ARCHITECTURES[kind].marks:
            match = mark.match(name)
            if match:
                found.setdefault((match["prefix"] or "").removesuffix("."), set()).add(mark.pattern)
    return [prefix for prefix, marks in found.items() if len(marks) >= ARCHITECTURES[kind].marks_needed]


def _transformers_part(entries: Mapping[str, TensorEntry], prefix: str, kind: Kind) -> TransformersPart:
    names = part_names(entries, prefix, kind)
    own = {name: entries[name] for name in names}
    widths, problems = visible_widths(own, prefix, kind)
    blocks = tower_blocks(own, prefix, kind)
    return TransformersPart(prefix, names, contents(own, names), tuple(problems), kind, widths, blocks)


def _recurrent_prefixes(entries: Iterable[str]) -> list[str]:
    return [
        name.removesuffix("weight_ih_l0").removesuffix(".")
        for name in entries
        if name.rpartition(".")[2] == "weight_ih_l0"
    ]


def _recurrent_part(entries: Mapping[str, TensorEntry], prefix: str) -> RecurrentPart:
    start = joined(prefix, "")
    names = tuple(name for name in entries if name.startswith(start) and is_recurrent(name.removeprefix(start)))
    own = {name: entries[name] for name in names}
    try:
        sizes = recurrent_sizes(own, prefix)
    except CheckpointError as error:
        return RecurrentPart(prefix, names, contents(own, names), (str(error),), None)
    problems: tuple[str, ...] = ()
    if sizes.cell == "LSTM" and sizes.bias and not sizes.bidirectional and not sizes.proj_size:
        try:
            read_lstm(own, prefix)
        except CheckpointError as error:
            problems = (str(error),)
    return RecurrentPart(prefix, names, contents(own, names), problems, sizes)


def _stack_prefixes(entries: Iterable[str]) -> list[str]:
    """Modules of numbered layers, and single layers at the top or of a known name; inner ones first."""
    prefixes: dict[str, None] = {}
    for name in entries:
        match = _NUMBERED.fullmatch(name)
        module, _, parameter = name.rpartition(".")
        if match:
            module = match["prefix"] or ""
        elif parameter != "weight" or not module or ("." in module and module.rpartition(".")[2] not in _STACKS):
            continue
        if not any(word.isdecimal() for word in module.split(".")):
            prefixes[module] = None
    return sorted(prefixes, key=lambda prefix: (prefix != "", prefix.count(".")), reverse=True)


def _stack_part(entries: Mapping[str, TensorEntry], prefix: str) -> StackPart:
    start = joined(prefix, "")
    names = tuple(name for name in entries if name.startswith(start))
    own = {name: entries[name] for name in names}
    try:
        layers, problems = read_stack(own, prefix), ()
    except CheckpointError as error:
        return StackPart(prefix, names, contents(own, names), (str(error),), ())
    return StackPart(prefix, names, contents(own, names), problems, layers)


def _beginning(name: str, known: Iterable[str]) -> str:
    """What an unknown tensor is listed under: its first word, or the first after a known model's prefix."""
    around = max((prefix for prefix in known if prefix and name.startswith(f"{prefix}.")), key=len, default="")
    word = name.removeprefix(joined(around, "")).partition(".")[0]
    return joined(around, word)
