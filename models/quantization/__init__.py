"""Weights of linear layers as integers: how they are made, stored and computed with."""

from __future__ import annotations

from .calibration import quantise_blocks
from .gptq import gptq
from .linear import Int4Linear, Int8DynamicLinear, Int8Linear, empty
from .precision import Precision, check_device, slow_on
from .replace import bytes_of, linear_layers, quantise_layers
from .rounding import dequantise, group_size, quantise

__all__ = [
    "Int4Linear",
    "Int8DynamicLinear",
    "Int8Linear",
    "Precision",
    "bytes_of",
    "check_device",
    "dequantise",
    "empty",
    "gptq",
    "group_size",
    "linear_layers",
    "quantise",
    "quantise_blocks",
    "quantise_layers",
    "slow_on",
]
