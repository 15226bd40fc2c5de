"""Stacks of layers as a configuration lists them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Literal

from pydantic import Field
from torch import nn

Activation = Literal["relu", "gelu", "silu", "tanh", "leaky_relu", "elu"]
# A number is a linear layer of that width.
Layer = Annotated[int, Field(gt=0, strict=True)] | Activation | Literal["layer_norm"]

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
}


def build_layers(in_features: int, layers: Sequence[Layer]) -> nn.Sequential:
    """One module per item of `layers`, at its index; linear layers with xavier-uniform weights and zero biases."""
    modules: list[nn.Module] = []
    width = in_features
    for layer in layers:
        if isinstance(layer, int):
            linear = nn.Linear(width, layer)
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)
            modules.append(linear)
            width = layer
        elif layer == "layer_norm":
            modules.append(nn.LayerNorm(width))
        else:
            modules.append(ACTIVATIONS[layer]())
    return nn.Sequential(*modules)


def output_width(in_features: int, layers: Sequence[Layer]) -> int:
    """Width of what a stack gives."""
    return next((layer for layer in reversed(layers) if isinstance(layer, int)), in_features)
