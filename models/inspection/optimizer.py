"""An optimiser's state in a checkpoint: what it keeps, of which parameters, and in how many bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import prod
from typing import Any

from ..checkpoint.entry import TensorEntry
from .layers import Shape
from .structure import Part
from .values import plain

# More parts than this would make too many sums; no policy has as many.
_MOST_PARTS = 12


@dataclass(frozen=True)
class OptimizerState:
    """State of an optimiser of torch.optim.

    Attributes:
        key: where it stands in the file.
        bytes: of its tensors.
        moments: tensors that it keeps of each parameter, such as exp_avg and exp_avg_sq of Adam.
        parameters: elements of the parameters that it has a state of.
        covered: first and last index of each run of parameters that it has a state of; their place, where it keeps
            them by name.
        listed: parameters that it was given.
        groups: settings of each group of parameters, without their indices.
        parts: prefixes of the models whose parameters, in the file's order, have exactly its shapes; None if there
            are none or several such sets.
    """

    key: str
    bytes: int
    moments: tuple[str, ...]
    parameters: int
    covered: tuple[tuple[int, int], ...]
    listed: int
    groups: tuple[Any, ...]
    parts: tuple[str, ...] | None


def is_optimizer_state(value: object) -> bool:
    """Whether something is what torch.optim's `state_dict()` returns."""
    return (
        isinstance(value, Mapping) and isinstance(value.get("state"), Mapping) and _is_list(value.get("param_groups"))
    )


def read_optimizer(
    key: str, value: Mapping[str, Any], parts: Sequence[Part], entries: Mapping[str, TensorEntry]
) -> OptimizerState:
    """Read an optimiser's state.

    Args:
        key: where it stands in the file.
        value: for which `is_optimizer_state` holds.
        parts: of the file's state dict.
        entries: of the file's state dict.
    """
    state: Mapping[Any, Any] = value["state"]
    moments: dict[str, None] = {}
    shapes: list[Shape] = []
    size, indices = 0, []
    by_index = all(isinstance(key, int) for key in state)
    for position, parameter in enumerate(sorted(state) if by_index else state):
        kept = state[parameter] if isinstance(state[parameter], Mapping) else {}
        tensors = {str(name): entry for name, entry in kept.items() if isinstance(entry, TensorEntry)}
        size += sum(entry.nbytes for entry in tensors.values())
        tensors.pop("step", None)  # a count, which newer torch keeps as a tensor
        if tensors:
            moments.update(dict.fromkeys(tensors))
            shapes.append(next(iter(tensors.values())).shape)
            indices.append(parameter if by_index else position)
    groups = [group for group in value["param_groups"] if isinstance(group, Mapping)]
    return OptimizerState(
        key=key,
        bytes=size,
        moments=tuple(moments),
        parameters=sum(map(prod, shapes)),
        covered=tuple(_runs(indices)),
        listed=sum(len(group["params"]) for group in groups if _is_list(group.get("params"))),
        groups=tuple(plain({name: item for name, item in group.items() if name != "params"}) for group in groups),
        parts=_parts_of(shapes, parts, entries),
    )


def _parts_of(
    shapes: Sequence[Shape], parts: Sequence[Part], entries: Mapping[str, TensorEntry]
) -> tuple[str, ...] | None:
    """The only set of parts whose parameters have these shapes, one after the other."""
    own = {part.prefix: _parameter_shapes(part, entries) for part in parts}
    if not shapes or len(own) > _MOST_PARTS:
        return None
    found = [
        chosen
        for count in range(1, len(own) + 1)
        for chosen in combinations(own, count)
        if sum(len(own[prefix]) for prefix in chosen) == len(shapes)
        and [shape for prefix in chosen for shape in own[prefix]] == list(shapes)
    ]
    return found[0] if len(found) == 1 else None


def _parameter_shapes(part: Part, entries: Mapping[str, TensorEntry]) -> list[Shape]:
    distinct = {(entries[name].file, entries[name].offset): entries[name] for name in part.names}
    return [entry.shape for entry in distinct.values() if entry.dtype.is_floating_point]


def _runs(indices: Sequence[int]) -> Iterator[tuple[int, int]]:
    first = None
    for position, index in enumerate(indices):
        first = index if first is None else first
        if position + 1 == len(indices) or indices[position + 1] != index + 1:
            yield first, index
            first = None


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple)
