"""Quantised layers in the place of a model's linear layers, and the bytes that they take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

from torch import nn

from ..errors import PrecisionError
from .linear import empty
from .precision import Precision
from .rounding import SCALE_DTYPE, group_size


def linear_layers(module: nn.Module) -> dict[str, nn.Linear]:
    """Every layer below a module that is exactly nn.Linear, by its first name."""
    return {name: layer for name, layer in module.named_modules() if name and type(layer) is nn.Linear}


def quantise_layers(module: nn.Module, precision: Precision, skip: Callable[[str], bool]) -> list[str]:
    """Put an empty quantised layer in the place of every nn.Linear (subclasses excepted) below a module.

    Args:
        module: changed in place; may be on the meta device.
        precision: one that is not quantised changes nothing.
        skip: whether a layer, by its name in `module`, stays as it is.

    Returns:
        Names of the layers that were replaced; a layer that stands in several places goes by its first name.

    Raises:
        PrecisionError: a layer cannot have the precision; it is named, and nothing was replaced.
    """
    if not precision.quantised:
        return []
    layers: dict[str, nn.Module] = {}
    replacements: dict[nn.Module, nn.Module] = {}
    for name, linear in linear_layers(module).items():
        if skip(name):
            continue
        try:
            layers[name] = replacements[linear] = empty(precision, linear)
        except PrecisionError as error:
            raise PrecisionError(f"layer {name}: {error}") from error
    for parent in list(module.modules()):
        # named_children leaves out what the parent holds twice.
        for attribute, child in list(parent._modules.items()):
            if child in replacements:
                setattr(parent, attribute, replacements[child])
    return list(layers)


def bytes_of(shape: Sequence[int], precision: Precision, quantised: bool) -> int:
    """Bytes that a tensor of a model takes in a file and in memory.

    Args:
        shape: of the tensor in floating point.
        precision: of the model.
        quantised: whether it is the weight, (out, in), of a layer that `quantise_layers` replaces.

    Raises:
        PrecisionError: int4 has no group size for the width.
    """
    if not (quantised and precision.quantised):
        return prod(shape) * precision.dtype.itemsize
    out_features, in_features = shape
    if precision is Precision.INT4:
        grids = out_features * in_features // group_size(in_features)
        return out_features * in_features // 2 + grids * (SCALE_DTYPE.itemsize + 1)
    return out_features * (in_features + 4)
