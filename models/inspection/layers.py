"""Layers by the shapes of their tensors: stacks of Linear and LayerNorm, and recurrent networks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from ..checkpoint.entry import TensorEntry
from ..errors import CheckpointError

Shape = tuple[int, ...]

_RECURRENT = re.compile(r"(?P<kind>weight_ih|weight_hh|weight_hr|bias_ih|bias_hh)_l(?P<layer>\d+)(?P<back>_reverse)?")
_CELLS: dict[int, Literal["RNN", "GRU", "LSTM"]] = {1: "RNN", 3: "GRU", 4: "LSTM"}


@dataclass(frozen=True)
class StackLayer:
    """A layer that has tensors.

    Attributes:
        index: in the Sequential; 0 for a Linear by itself.
        kind: what its weight's dimensions say: a matrix is a Linear's, a vector a LayerNorm's.
        inputs: width that goes in.
        outputs: width that comes out; a LayerNorm's is `inputs`.
        bias: whether it has one.
    """

    index: int
    kind: Literal["linear", "layer_norm"]
    inputs: int
    outputs: int
    bias: bool


@dataclass(frozen=True)
class RecurrentSizes:
    """A recurrent network of torch.nn, as far as its tensors show it.

    Attributes:
        cell: by the rows of `weight_ih_l0`: 4 gates of an LSTM, 3 of a GRU, 1 of a plain RNN.
        input_size: width that goes in.
        hidden_size: width of the state.
        num_layers: by the highest number.
        bidirectional: whether there are weights of the way back.
        proj_size: width that an LSTM projects its output to; 0 for none.
        bias: whether there are biases.
    """

    cell: Literal["RNN", "GRU", "LSTM"]
    input_size: int
    hidden_size: int
    num_layers: int
    bidirectional: bool
    proj_size: int
    bias: bool


@dataclass(frozen=True)
class LSTMSizes:
    """Arguments of an nn.LSTM: one direction, biases, no projection."""

    input_size: int
    hidden_size: int
    num_layers: int


def joined(prefix: str, name: str) -> str:
    """A name within a module as a name in the whole; the empty prefix is the whole."""
    return f"{prefix}.{name}" if prefix else name


def below(entries: Mapping[str, TensorEntry], prefix: str) -> dict[str, TensorEntry]:
    """The tensors of a module by their names within it."""
    start = joined(prefix, "")
    return {name.removeprefix(start): entry for name, entry in entries.items() if name.startswith(start)}


def read_stack(entries: Mapping[str, TensorEntry], prefix: str) -> tuple[StackLayer, ...]:
    """Read a Linear (`prefix.weight`) or a Sequential (`prefix.N.weight`) of Linear and LayerNorm.

    Activations and dropout have no tensors: where they stood, the indices have gaps. A GroupNorm has the tensors of a
    LayerNorm and cannot be told from it.

    Returns:
        Its layers, by index.

    Raises:
        CheckpointError: no tensors there, a layer of another kind, or a layer that is not as wide as what it is fed
            by; names both.
    """
    tensors = below(entries, prefix)
    if not tensors:
        raise CheckpointError(f"no tensor is named {joined(prefix, '*')}, expected a Linear or a Sequential")
    numbered: dict[int, dict[str, TensorEntry]] = {}
    for name, entry in tensors.items():
        index, dot, parameter = name.rpartition(".")
        if parameter not in ("weight", "bias") or (dot and not index.isdecimal()):
            raise CheckpointError(
                f"{joined(prefix, name)} is no tensor of a Linear or LayerNorm, expected {joined(prefix, 'weight')} "
                f"and bias, or {joined(prefix, 'N.weight')} and bias"
            )
        numbered.setdefault(int(index) if dot else -1, {})[parameter] = entry
    if -1 in numbered:
        if len(numbered) > 1:
            raise CheckpointError(
                f"{prefix} has a weight or bias of its own and numbered layers, expected one or the other"
            )
        return (_layer(prefix, 0, numbered[-1]),)
    layers = tuple(_layer(joined(prefix, str(index)), index, numbered[index]) for index in sorted(numbered))
    for before, after in pairwise(layers):
        if before.outputs != after.inputs:
            raise CheckpointError(
                f"{joined(prefix, str(after.index))}.weight takes {after.inputs} inputs, but "
                f"{joined(prefix, str(before.index))}.weight before it gives {before.outputs}"
            )
    return layers


def numbering_gaps(numbers: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """First and last of each run of whole numbers that is left out, from 0 to the highest."""
    previous, gaps = -1, []
    for number in sorted(numbers):
        if number > previous + 1:
            gaps.append((previous + 1, number - 1))
        previous = number
    return tuple(gaps)


def is_recurrent(name: str) -> bool:
    """Whether a module's tensor is named as those of torch.nn's recurrent networks are."""
    return _RECURRENT.fullmatch(name) is not None


def recurrent_sizes(entries: Mapping[str, TensorEntry], prefix: str) -> RecurrentSizes:
    """What a recurrent network's tensors show; whether they fit each other is not asked.

    Raises:
        CheckpointError: the first layer's weights are missing, or not those of a recurrent network.
    """
    tensors = below(entries, prefix)
    shapes = [_shape(tensors, prefix, name) for name in ("weight_ih_l0", "weight_hh_l0")]
    if any(len(shape) != 2 for shape in shapes):
        raise CheckpointError(
            f"{joined(prefix, 'weight_ih_l0')} and weight_hh_l0 have shapes {shapes}, expected matrices"
        )
    (rows, inputs), (_, state) = shapes
    projection = tensors.get("weight_hr_l0")
    proj_size = projection.shape[0] if projection is not None else 0
    gates = 4 if proj_size else rows // state if state and rows % state == 0 else 0
    if gates not in _CELLS or rows % gates:
        raise CheckpointError(
            f"{joined(prefix, 'weight_ih_l0')} has {rows} rows and weight_hh_l0 {state} columns, expected 4 rows a "
            "column (LSTM), 3 (GRU) or 1 (RNN)"
        )
    found = [match for name in tensors if (match := _RECURRENT.fullmatch(name))]
    return RecurrentSizes(
        cell=_CELLS[gates],
        input_size=inputs,
        hidden_size=rows // gates,
        num_layers=1 + max(int(match["layer"]) for match in found),
        bidirectional=any(match["back"] for match in found),
        proj_size=proj_size,
        bias=any(match["kind"].startswith("bias") for match in found),
    )


def read_lstm(entries: Mapping[str, TensorEntry], prefix: str) -> LSTMSizes:
    """Read an nn.LSTM of one direction with biases and without projection.

    Raises:
        CheckpointError: tensors missing, of other shapes or not an LSTM's; bidirectional, projected or without biases.
    """
    sizes = recurrent_sizes(entries, prefix)
    name = joined(prefix, "weight_ih_l0")
    if sizes.cell != "LSTM":
        raise CheckpointError(f"{name} has the rows of a plain {sizes.cell}, expected 4 gates of an LSTM")
    if sizes.proj_size:
        name = joined(prefix, "weight_hr_l0")
        raise CheckpointError(f"{name} projects the LSTM's output to {sizes.proj_size}, expected no projection")
    tensors = below(entries, prefix)
    back = [name for name in tensors if name.endswith("_reverse")]
    if back:
        raise CheckpointError(f"{joined(prefix, back[0])} is of a bidirectional LSTM, expected one direction")
    numbers = {int(match["layer"]) for name in tensors if (match := _RECURRENT.fullmatch(name))}
    for gap, _ in numbering_gaps(numbers):
        raise CheckpointError(f"{joined(prefix, f'weight_ih_l{gap}')} is missing, but there are layers after it")
    rows, hidden = 4 * sizes.hidden_size, sizes.hidden_size
    expected: dict[str, Shape] = {}
    for layer in range(sizes.num_layers):
        expected[f"weight_ih_l{layer}"] = (rows, hidden if layer else sizes.input_size)
        expected[f"weight_hh_l{layer}"] = (rows, hidden)
        expected[f"bias_ih_l{layer}"] = expected[f"bias_hh_l{layer}"] = (rows,)
    unknown = tensors.keys() - expected.keys()
    if unknown:
        raise CheckpointError(f"{joined(prefix, min(unknown))} is no tensor of an LSTM")
    for name, shape in expected.items():
        found = _shape(tensors, prefix, name)
        if found != shape:
            raise CheckpointError(f"{joined(prefix, name)} has shape {found}, expected {shape}")
    return LSTMSizes(sizes.input_size, hidden, sizes.num_layers)


def _layer(name: str, index: int, tensors: Mapping[str, TensorEntry]) -> StackLayer:
    shape = _shape(tensors, name, "weight")
    bias = tensors.get("bias")
    if bias is not None and bias.shape != shape[:1]:
        raise CheckpointError(f"{name}.bias has shape {bias.shape}, expected {shape[:1]}, the outputs of {name}.weight")
    if len(shape) == 2:
        return StackLayer(index, "linear", shape[1], shape[0], bias is not None)
    if len(shape) == 1 and bias is not None:
        return StackLayer(index, "layer_norm", shape[0], shape[0], True)
    expected = "a Linear's matrix, or a LayerNorm's vector with a bias beside it"
    raise CheckpointError(
        f"{name}.weight has shape {shape}{'' if bias is not None else ' and no bias'}, expected {expected}"
    )


def _shape(tensors: Mapping[str, TensorEntry], prefix: str, name: str) -> Shape:
    if name not in tensors:
        raise CheckpointError(f"{joined(prefix, name)} is missing")
    return tensors[name].shape
