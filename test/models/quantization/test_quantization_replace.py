"""Quantised layers in the place of linear ones."""

import pytest
import torch
from torch import nn

from mobile_vla_models.errors import PrecisionError
from mobile_vla_models.quantization import Int4Linear, Int8Linear, Precision, bytes_of, quantise, quantise_layers


class Special(nn.Linear):
    pass


def model() -> nn.Module:
    shared = nn.Linear(64, 64)
    return nn.ModuleDict(
        {
            "inner": nn.Sequential(nn.Linear(64, 32, bias=False), nn.ReLU(), nn.Linear(32, 64)),
            "head": nn.Linear(64, 2),
            "special": Special(64, 64),
            "first": shared,
            "second": shared,
        }
    )


def test_exactly_the_linear_layers_are_replaced() -> None:
    changed = model()
    names = quantise_layers(changed, Precision.INT8, lambda name: name == "head")
    assert names == ["inner.0", "inner.2", "first"]
    assert all(isinstance(changed.get_submodule(name), Int8Linear) for name in names)
    assert type(changed["head"]) is nn.Linear
    assert type(changed["special"]) is Special
    assert changed["second"] is changed["first"]
    assert changed["inner"][0].bias is None
    assert changed["inner"][2].weight.shape == (64, 32)


def test_plain_precisions_replace_nothing() -> None:
    changed = model()
    assert quantise_layers(changed, Precision.BF16, lambda name: False) == []
    assert type(changed["head"]) is nn.Linear


def test_a_model_on_meta_tells_its_bytes() -> None:
    with torch.device("meta"):
        plain, changed = model(), model()
    plain.to(Precision.INT4.dtype)
    changed.to(Precision.INT4.dtype)
    names = quantise_layers(changed, Precision.INT4, lambda name: name == "special")
    assert isinstance(changed["head"], Int4Linear)
    state = changed.state_dict()
    assert all(tensor.is_meta for tensor in state.values())
    expected = sum(
        bytes_of(tensor.shape, Precision.INT4, name.removesuffix(".weight") in names)
        for name, tensor in plain.state_dict().items()
        if not name.startswith("second.")
    )
    stored = sum(tensor.nbytes for name, tensor in state.items() if not name.startswith("second."))
    assert stored == expected


def test_tensors_of_quantise_fill_the_layers() -> None:
    original = model()
    changed = model()
    for name in quantise_layers(changed, Precision.INT4, lambda name: False):
        tensors = quantise(original.get_submodule(name).weight, Precision.INT4)
        missing = changed.get_submodule(name).load_state_dict(tensors, strict=False)
        assert missing.unexpected_keys == []
        assert set(missing.missing_keys) <= {"bias"}


def test_a_layer_that_cannot_be_is_named_and_nothing_is_changed() -> None:
    changed = nn.Sequential(nn.Linear(32, 32), nn.Linear(33, 8))
    with pytest.raises(PrecisionError, match=r"layer 1: .*got 33"):
        quantise_layers(changed, Precision.INT4, lambda name: False)
    assert type(changed[0]) is nn.Linear
