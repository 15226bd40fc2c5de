"""Quantised layers against the layers in floating point."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mobile_vla_models.errors import PrecisionError
from mobile_vla_models.quantization import Precision, bytes_of, dequantise, empty, quantise
from mobile_vla_models.quantization import integer as integer_module
from mobile_vla_models.quantization import linear as linear_module
from mobile_vla_models.quantization.integer import int8_matmul

QUANTISED = [Precision.INT8, Precision.W8A8, Precision.INT4]
# Relative L2 of outputs; bfloat16 rounds inputs and outputs besides.
BOUNDS = {Precision.INT8: 0.01, Precision.W8A8: 0.015, Precision.INT4: 0.12}
DTYPES = [torch.float32, torch.bfloat16, torch.float16]


def error(found: Tensor, expected: Tensor) -> float:
    found, expected = found.detach().float(), expected.detach().float()
    return float((found - expected).norm() / expected.norm())


def pair(precision: Precision, inputs: int = 256, outputs: int = 96, bias: bool = True) -> tuple[nn.Linear, nn.Module]:
    torch.manual_seed(0)
    linear = nn.Linear(inputs, outputs, bias=bias)
    return linear, filled(precision, linear)


def filled(precision: Precision, linear: nn.Linear) -> nn.Module:
    layer = empty(precision, linear)
    tensors = quantise(linear.weight, precision)
    if linear.bias is not None:
        tensors["bias"] = linear.bias.detach().to(precision.dtype)
    layer.load_state_dict(tensors)
    return layer


@pytest.mark.parametrize("precision", QUANTISED)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bias", [True, False])
def test_outputs_are_close_and_of_the_type_of_the_inputs(precision: Precision, dtype: torch.dtype, bias: bool) -> None:
    linear, layer = pair(precision, bias=bias)
    x = torch.randn(2, 7, 256).to(dtype)
    y = layer(x)
    assert y.dtype == dtype
    assert y.shape == (2, 7, 96)
    assert error(y, linear(x.float())) < BOUNDS[precision]


@pytest.mark.parametrize("precision", QUANTISED)
@pytest.mark.parametrize("shape", [(256,), (0, 256), (2, 0, 256), (1, 1, 256)])
def test_any_leading_sizes(precision: Precision, shape: tuple[int, ...]) -> None:
    linear, layer = pair(precision)
    assert layer(torch.zeros(shape)).shape == linear(torch.zeros(shape)).shape


@pytest.mark.parametrize("precision", QUANTISED)
def test_slices_of_rows_concatenate_to_the_whole(precision: Precision) -> None:
    torch.manual_seed(1)
    weight = torch.randn(50, 128)
    whole = quantise(weight, precision)
    for size in (1, 7, 50):
        parts = [quantise(part, precision) for part in weight.split(size)]
        for name, tensor in whole.items():
            assert torch.equal(torch.cat([part[name] for part in parts]), tensor)


@pytest.mark.parametrize("precision", [Precision.INT8, Precision.INT4])
@pytest.mark.parametrize("slice_size", [256, 256 * 7, 1])
def test_slices_of_the_computation_do_not_show(
    precision: Precision, slice_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, layer = pair(precision)
    x = torch.randn(5, 256)
    expected = layer(x)
    monkeypatch.setattr(linear_module, "_SLICE", slice_size)
    torch.testing.assert_close(layer(x), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("precision", QUANTISED)
def test_what_is_stored_is_the_nearest_of_the_grid(precision: Precision) -> None:
    torch.manual_seed(2)
    weight = torch.randn(20, 256)
    tensors = quantise(weight, precision)
    step = tensors["scale"].float()
    step = step.repeat_interleave(128, 1) if precision is Precision.INT4 else step.unsqueeze(1)
    # The int4 scale is rounded to bfloat16, which can leave the ends of the range a little outside of the grid.
    slack = 0.55 if precision is Precision.INT4 else 0.5
    assert bool(((dequantise(tensors) - weight).abs() <= step * slack + 1e-6).all())
    unused = 2 if precision is Precision.INT4 else 1
    assert len(tensors["weight"].unique()) > 100 * unused


@pytest.mark.parametrize("precision", QUANTISED)
def test_rows_of_zeros_and_of_tiny_values_give_zeros(precision: Precision) -> None:
    weight = torch.randn(4, 128)
    weight[1] = 0.0
    weight[2] = 1e-43
    tensors = quantise(weight, precision)
    found = dequantise(tensors)
    assert bool((found[1:3] == 0.0).all())
    assert bool(torch.isfinite(found).all())
    assert bool((tensors["scale"][1:3] == 1.0).all())


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_int4_holds_weights_of_one_sign(sign: float) -> None:
    weight = sign * torch.linspace(5.0, 6.0, 128).unsqueeze(0)
    tensors = quantise(weight, Precision.INT4)
    assert float(tensors["scale"]) == pytest.approx(6.0 / 15, rel=0.01)
    assert int(tensors["zero"]) == (0 if sign > 0 else 15)
    assert float((dequantise(tensors) - weight).abs().max()) <= 0.55 * 6.0 / 15


@pytest.mark.parametrize("precision", QUANTISED)
def test_an_outlying_row_leaves_the_others_alone(precision: Precision) -> None:
    torch.manual_seed(3)
    weight = torch.randn(6, 128)
    before = dequantise(quantise(weight, precision))
    weight[2] *= 1e4
    after = dequantise(quantise(weight, precision))
    others = [0, 1, 3, 4, 5]
    assert torch.equal(before[others], after[others])
    assert error(after[2], weight[2]) < BOUNDS[precision]


def test_float16_inputs_do_not_overflow_in_unscaled_sums() -> None:
    linear = nn.Linear(1024, 4, bias=False)
    nn.init.constant_(linear.weight, 0.01)
    y = filled(Precision.INT8, linear)(torch.full((1, 1024), 100.0, dtype=torch.float16))
    assert error(y, torch.full((1, 4), 1024.0)) < 0.01


def test_tokens_have_scales_of_their_own() -> None:
    linear, layer = pair(Precision.W8A8, bias=False)
    x = torch.randn(3, 256)
    x[1] = 0.0
    x[2] *= 1e4
    y = layer(x)
    expected = linear(x)
    assert bool((y[1] == 0.0).all())
    assert error(y[0], expected[0]) < BOUNDS[Precision.W8A8]
    assert error(y[2], expected[2]) < BOUNDS[Precision.W8A8]


@pytest.mark.parametrize("precision", QUANTISED)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_stays_so(precision: Precision, value: float) -> None:
    _, layer = pair(precision)
    x = torch.randn(2, 256)
    x[1, 5] = value
    y = layer(x)
    assert bool(torch.isfinite(y[0]).all())
    assert not bool(torch.isfinite(y[1]).any())


@pytest.mark.parametrize("precision", QUANTISED)
def test_round_trip_through_safetensors(precision: Precision, tmp_path: Path) -> None:
    _, layer = pair(precision)
    save_file(layer.state_dict(), tmp_path / "layer.safetensors")
    with torch.device("meta"):
        again = empty(precision, nn.Linear(256, 96))
    assert all(tensor.is_meta for tensor in again.state_dict().values())
    again.load_state_dict(load_file(tmp_path / "layer.safetensors"), assign=True)
    x = torch.randn(3, 256)
    assert torch.equal(again(x), layer(x))


@pytest.mark.parametrize("precision", QUANTISED)
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_a_change_of_type_spares_the_grid(precision: Precision, dtype: torch.dtype) -> None:
    _, layer = pair(precision)
    before = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
    layer.to(dtype)
    for name, tensor in layer.state_dict().items():
        if name == "bias":
            assert tensor.dtype == dtype
        else:
            assert tensor.dtype == before[name].dtype
            assert torch.equal(tensor, before[name])


@pytest.mark.parametrize("precision", QUANTISED)
def test_bytes_are_those_of_the_tensors(precision: Precision) -> None:
    tensors = quantise(torch.randn(12, 2048), precision)
    stored = sum(tensor.numel() * tensor.itemsize for tensor in tensors.values())
    assert bytes_of((12, 2048), precision, quantised=True) == stored == precision.bits * 12 * 2048 / 8
    assert bytes_of((12, 2048), precision, quantised=False) == 2 * 12 * 2048


@pytest.mark.parametrize("precision", QUANTISED)
def test_weights_that_are_not_finite_are_refused(precision: Precision) -> None:
    weight = torch.randn(4, 128)
    weight[1, 2] = float("nan")
    weight[3, 4] = float("inf")
    with pytest.raises(PrecisionError, match=r"\(4, 128\) has 2 values that are not finite"):
        quantise(weight, precision)


@pytest.mark.parametrize(("inputs", "groups"), [(256, 2), (192, 3), (96, 3)])
def test_groups_of_int4_divide_the_inputs(inputs: int, groups: int) -> None:
    linear, layer = pair(Precision.INT4, inputs)
    assert layer.scale.shape == (96, groups)
    x = torch.randn(3, inputs)
    assert error(layer(x), linear(x)) < BOUNDS[Precision.INT4]


def test_int4_refuses_odd_widths_and_plain_precisions_have_no_layers() -> None:
    with pytest.raises(PrecisionError, match=r"divisible by 128, 64 or 32, got 33"):
        empty(Precision.INT4, nn.Linear(33, 8))
    with pytest.raises(PrecisionError, match=r"divisible by 128, 64 or 32, got 33"):
        quantise(torch.zeros(8, 33), Precision.INT4)
    with pytest.raises(PrecisionError, match="bf16 has no quantised layers"):
        empty(Precision.BF16, nn.Linear(32, 8))
    with pytest.raises(PrecisionError, match=r"got \(8,\)"):
        quantise(torch.zeros(8), Precision.INT8)


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize(("rows", "inner", "columns"), [(1, 8192, 3), (17, 1025, 2050), (5, 7, 9), (0, 64, 8)])
def test_integer_products_are_exact(
    native: bool, rows: int, inner: int, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(integer_module, "has_int8", lambda: native)
    generator = torch.Generator().manual_seed(0)
    left = torch.randint(-127, 128, (rows, inner), dtype=torch.int8, generator=generator)
    right = torch.randint(-127, 128, (columns, inner), dtype=torch.int8, generator=generator)
    if rows:
        left[0], right[0] = 127, 127
        left[0, 1::2] = 126
    assert torch.equal(int8_matmul(left, right).long(), left.long() @ right.long().T)


def test_padding_for_cuda_adds_zeros() -> None:
    left = torch.randint(-127, 128, (3, 10), dtype=torch.int8)
    padded = integer_module._padded(left, 24)
    assert padded.shape == (24, 16)
    assert torch.equal(padded[:3, :10], left)
    assert int(padded.abs().sum()) == int(left.abs().sum())
    assert integer_module._padded(torch.zeros(32, 16), 24).shape == (32, 16)


@pytest.mark.parametrize("precision", [Precision.INT8, Precision.INT4])
def test_gradients_reach_the_inputs(precision: Precision) -> None:
    _, layer = pair(precision)
    x = torch.randn(3, 256, requires_grad=True)
    layer(x).sum().backward()
    expected = dequantise({name: t for name, t in layer.state_dict().items() if name != "bias"}).sum(0)
    torch.testing.assert_close(x.grad[0], expected, rtol=1e-4, atol=1e-5)
