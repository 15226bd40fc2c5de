"""Stacks of layers are what a configuration lists, module by module."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from tiny import tiny_document
from torch import nn

from mobile_vla_models.configuration import ConcatFusionConfig, PolicyConfig
from mobile_vla_models.layers import ACTIVATIONS, build_layers, output_width


def test_each_item_is_a_module_at_its_index() -> None:
    stack = build_layers(6, [8, "layer_norm", "gelu", 4, "relu", 2])
    assert [type(module) for module in stack] == [nn.Linear, nn.LayerNorm, nn.GELU, nn.Linear, nn.ReLU, nn.Linear]
    shapes = {name: tuple(parameter.shape) for name, parameter in stack.named_parameters()}
    assert shapes == {
        "0.weight": (8, 6),
        "0.bias": (8,),
        "1.weight": (8,),
        "1.bias": (8,),
        "3.weight": (4, 8),
        "3.bias": (4,),
        "5.weight": (2, 4),
        "5.bias": (2,),
    }


def test_a_norm_before_any_linear_layer_is_as_wide_as_what_comes_in() -> None:
    stack = build_layers(6, ["layer_norm", "tanh"])
    assert stack[0].normalized_shape == (6,)
    assert stack(torch.randn(2, 5, 6)).shape == (2, 5, 6)


def test_weights_are_drawn_as_they_are_documented() -> None:
    torch.manual_seed(0)
    linear = build_layers(300, [500])[0]
    bound = (6 / 800) ** 0.5
    assert float(linear.weight.detach().abs().max()) == pytest.approx(bound, rel=0.01)
    assert not bool(linear.bias.any())


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("relu", torch.relu),
        ("gelu", nn.functional.gelu),
        ("silu", nn.functional.silu),
        ("tanh", torch.tanh),
        ("leaky_relu", nn.functional.leaky_relu),
        ("elu", nn.functional.elu),
    ],
)
def test_an_activation_is_the_one_of_its_name(name: Any, function: Any) -> None:
    values = torch.linspace(-3, 3, 13)
    assert torch.equal(build_layers(13, [name])(values), function(values))
    assert name in ACTIVATIONS


@pytest.mark.parametrize(("layers", "width"), [([], 6), (["relu"], 6), ([8, "relu", 3, "layer_norm"], 3), ([5], 5)])
def test_the_width_of_a_stack_is_that_of_its_result(layers: Any, width: int) -> None:
    assert output_width(6, layers) == width
    assert build_layers(6, layers)(torch.zeros(1, 6)).shape[-1] == width


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([], "at least 1 item"),
        (["relu", "layer_norm"], "hold no linear one"),
        ([True], "layers"),
        (["8"], "layers"),
        ([8.0], "layers"),
        ([0], "greater than 0"),
        ([-8, "relu"], "greater than 0"),
        ([8, "swish"], "layers"),
        ([8, "batch_norm"], "layers"),
        ([[8]], "layers"),
    ],
)
def test_what_is_no_layer_is_refused(layers: list[Any], message: str) -> None:
    document = {"type": "concat", "features": ["backbone"], "layers": layers}
    with pytest.raises(ValidationError, match=message):
        ConcatFusionConfig.model_validate(document)


@pytest.mark.parametrize("layers", [[True], ["16"], [0], ["dropout"]])
def test_the_layers_of_a_head_are_checked_likewise(layers: list[Any]) -> None:
    document: dict[str, Any] = tiny_document()
    document["head"] = {**document["head"], "mlp": layers}
    with pytest.raises(ValidationError, match=r"head\.lstm\.mlp"):
        PolicyConfig.model_validate(document)
