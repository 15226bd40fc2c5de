"""A policy's weights from tensors in files to a file of another precision, piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from ..checkpoint.content import pieces, rows
from ..checkpoint.entry import TensorEntry
from ..checkpoint.safetensors_writer import SafetensorsWriter
from ..errors import ConversionError
from ..modeling import VLAModel
from ..quantization import Precision, quantise
from ..quantization.linear import Int4Linear, Int8DynamicLinear, QuantisedLinear
from ..weights import is_finite, stored_tensors

# Elements that are converted at a time: 16 MiB in float32, and a few times that in between.
_PIECE = 2**22


def check_entries(model: VLAModel, entries: Mapping[str, TensorEntry]) -> None:
    """See to it that tensors in files are those of a model.

    Raises:
        ConversionError: missing, unknown, or of another shape; the tensor is named.
    """
    expected: dict[str, tuple[int, ...]] = {}
    layers = quantised_layers(model)
    for name, tensor in stored_tensors(model).items():
        owner, _, key = name.rpartition(".")
        if owner not in layers or key == "bias":
            expected[name] = tuple(tensor.shape)
        elif key == "weight":
            expected[name] = (layers[owner].out_features, layers[owner].in_features)
    wrong = [f"{name} {shape} is missing" for name, shape in expected.items() if name not in entries]
    wrong += [f"{name} {entry.shape} is unknown" for name, entry in entries.items() if name not in expected]
    wrong += [
        f"{name} has shape {entries[name].shape}, expected {shape}"
        for name, shape in expected.items()
        if name in entries and entries[name].shape != shape
    ]
    if wrong:
        raise ConversionError(f"the weights are not the policy's: {'; '.join(wrong[:8])}")


def quantised_layers(model: VLAModel) -> dict[str, QuantisedLinear]:
    """The quantised layers of a model by name."""
    return {name: module for name, module in model.named_modules() if isinstance(module, QuantisedLinear)}


def precision_of(layer: QuantisedLinear) -> Precision:
    """What a quantised layer is."""
    if isinstance(layer, Int4Linear):
        return Precision.INT4
    return Precision.W8A8 if isinstance(layer, Int8DynamicLinear) else Precision.INT8


def write_weights(
    path: Path,
    model: VLAModel,
    entries: Mapping[str, TensorEntry],
    calibrated: Callable[[Callable[[str, dict[str, Tensor]], None]], None] | None,
    advance: Callable[[int], None],
) -> None:
    """Write `model.safetensors`.

    Args:
        path: of the file.
        model: empty, of the wanted precision.
        entries: the weights, whatever their precision, by the names of the model's tensors.
        calibrated: hands over the tensors of int4 layers by the layers' names; None if there are none.
        advance: is told bytes of `entries` that are done.

    Raises:
        ConversionError: a number that is not finite, or not any more in the wanted precision; the tensor is named.
    """
    tensors = stored_tensors(model)
    layers = quantised_layers(model)
    with SafetensorsWriter(
        path, {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()}, {"format": "pt"}
    ) as writer:
        for name, tensor in tensors.items():
            owner, _, key = name.rpartition(".")
            if owner not in layers or key == "bias":
                _write_plain(writer, name, entries[name], tensor.dtype, advance)
            elif key == "weight" and not isinstance(layers[owner], Int4Linear):
                _write_quantised(writer, owner, entries[name], precision_of(layers[owner]), advance)
        if calibrated is not None:

            def take(layer: str, made: dict[str, Tensor]) -> None:
                for key, value in made.items():
                    writer.write(f"{layer}.{key}", value)
                advance(entries[f"{layer}.weight"].nbytes)

            calibrated(take)


def _write_plain(
    writer: SafetensorsWriter, name: str, entry: TensorEntry, dtype: torch.dtype, advance: Callable[[int], None]
) -> None:
    done = 0
    for piece in pieces(entry, _PIECE * entry.dtype.itemsize):
        _check_finite(name, piece)
        converted = piece.to(dtype)
        if not is_finite(converted):
            raise ConversionError(
                f"{name} holds {float(piece.abs().max()):.3g}, more than {dtype} can: take bf16 or fp32"
            )
        writer.write(name, converted, done)
        done += piece.numel()
        advance(piece.nbytes)


def _write_quantised(
    writer: SafetensorsWriter, layer: str, entry: TensorEntry, precision: Precision, advance: Callable[[int], None]
) -> None:
    count, width = entry.shape
    step = max(1, _PIECE // width)
    for first in range(0, count, step):
        piece = rows(entry, first, min(count, first + step))
        _check_finite(f"{layer}.weight", piece)
        for key, value in quantise(piece, precision).items():
            writer.write(f"{layer}.{key}", value, first * value[0].numel())
        advance(piece.nbytes)


def _check_finite(name: str, piece: Tensor) -> None:
    if not is_finite(piece):
        count = int((~torch.isfinite(piece)).sum())
        raise ConversionError(f"{name} has {count} or more numbers that are not finite: the checkpoint is damaged")


def towers(model: VLAModel) -> dict[str, nn.ModuleList]:
    """Chains of numbered blocks by name, none within another."""
    found: dict[str, nn.ModuleList] = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.ModuleList) and not any(name.startswith(f"{outer}.") for outer in found):
            found[name] = module
    return found
