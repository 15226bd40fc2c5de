"""GPTQ on inputs that the calibration has not seen."""

import pytest
import torch
from torch import Tensor

from mobile_vla_models.errors import PrecisionError
from mobile_vla_models.quantization import Precision, dequantise, gptq, quantise
from mobile_vla_models.quantization.shrinkage import shrink

INPUTS, OUTPUTS = 256, 64


class Inputs:
    """Gaussian inputs: `rank` common factors, noise of their own, every input in a unit of its own."""

    def __init__(self, rank: int, noise: float, seed: int = 0, units: bool = True) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.noise = noise
        self.factors = torch.randn(rank, INPUTS, generator=self.generator) / max(rank, 1) ** 0.5
        self.units = torch.randn(INPUTS, generator=self.generator).exp() if units else torch.ones(INPUTS)

    def draw(self, tokens: int) -> Tensor:
        common = torch.randn(tokens, len(self.factors), generator=self.generator) @ self.factors
        own = self.noise * torch.randn(tokens, INPUTS, generator=self.generator)
        return (common + own) * self.units


def weight(seed: int = 1) -> Tensor:
    return torch.randn(OUTPUTS, INPUTS, generator=torch.Generator().manual_seed(seed))


def calibrated(w: Tensor, x: Tensor, group: int = 128) -> dict[str, Tensor]:
    return gptq(w, x.T @ x, len(x), group)


def error(w: Tensor, tensors: dict[str, Tensor], x: Tensor) -> float:
    return float((x @ (dequantise(tensors) - w).T).norm() / (x @ w.T).norm())


def ratio(inputs: Inputs, tokens: int) -> float:
    """Error on new inputs, as a share of rounding to nearest's."""
    w, x, new = weight(), inputs.draw(tokens), inputs.draw(4000)
    return error(w, calibrated(w, x), new) / error(w, quantise(w, Precision.INT4), new)


@pytest.mark.parametrize("tokens", [64, 128, 1024])
def test_correlated_inputs_gain_much(tokens: int) -> None:
    assert ratio(Inputs(rank=16, noise=0.1), tokens) < 0.5


@pytest.mark.parametrize("tokens", [64, 128, 512])
def test_strong_directions_in_much_noise_gain_too(tokens: int) -> None:
    assert ratio(Inputs(rank=4, noise=1.0), tokens) < 0.85


@pytest.mark.parametrize("units", [True, False])
@pytest.mark.parametrize("tokens", [4, 64, 200, 256, 1024])
def test_white_inputs_lose_nothing(tokens: int, units: bool) -> None:
    assert ratio(Inputs(rank=0, noise=1.0, units=units), tokens) < 1.05


def test_columns_make_up_for_one_another() -> None:
    """Not by the clipped grid alone: the same search without correlations is clearly worse."""
    inputs = Inputs(rank=16, noise=0.1)
    w, x, new = weight(), inputs.draw(512), inputs.draw(4000)
    alone = gptq(w, (x.T @ x).diagonal().diag(), len(x), 128)
    assert error(w, calibrated(w, x), new) < 0.6 * error(w, alone, new)


def test_tensors_are_those_of_rounding() -> None:
    w, x = weight(), Inputs(rank=4, noise=0.5).draw(100)
    for group in (128, 64, 32):
        found = calibrated(w, x, group)
        assert found["scale"].shape == found["zero"].shape == (OUTPUTS, INPUTS // group)
    expected = quantise(w, Precision.INT4)
    found = calibrated(w, x)
    assert {name: (t.shape, t.dtype) for name, t in found.items()} == {
        name: (t.shape, t.dtype) for name, t in expected.items()
    }


def test_inputs_that_were_always_zero_are_rounded_to_the_nearest() -> None:
    inputs = Inputs(rank=4, noise=0.5)
    w, x = weight(), inputs.draw(100)
    x[:, 128:] = 0.0
    found, nearest = calibrated(w, x), quantise(w, Precision.INT4)
    assert torch.equal(dequantise(found)[:, 128:], dequantise(nearest)[:, 128:])
    assert not torch.equal(dequantise(found)[:, :128], dequantise(nearest)[:, :128])


def test_no_tokens_is_rounding_to_nearest() -> None:
    w = weight()
    found, nearest = gptq(w, torch.zeros(INPUTS, INPUTS), 0, 128), quantise(w, Precision.INT4)
    assert all(torch.equal(found[name], nearest[name]) for name in nearest)


def test_inputs_that_repeat_each_other_have_a_factor() -> None:
    x = Inputs(rank=1, noise=0.0).draw(50)
    x[:, 1:] = x[:, :1]
    w = weight()
    assert error(w, calibrated(w, x), x) < 0.1 * error(w, quantise(w, Precision.INT4), x)


@pytest.mark.parametrize("damping", [0.0, 1e-9])
def test_damping_is_raised_until_there_is_a_factor(damping: float) -> None:
    x = torch.ones(50, INPUTS) * Inputs(rank=1, noise=0.0).draw(50)[:, :1]
    w, hessian = weight(), x.T @ x
    assert int(torch.linalg.cholesky_ex(hessian).info) > 0
    assert error(w, gptq(w, hessian, len(x), 128, damping), x) < 0.1 * error(w, quantise(w, Precision.INT4), x)


def test_weights_may_be_half_precision_and_are_left_alone() -> None:
    w, x = weight().bfloat16(), Inputs(rank=4, noise=0.5).draw(100)
    hessian = x.T @ x
    before, before_hessian = w.clone(), hessian.clone()
    gptq(w, hessian, len(x), 128)
    assert torch.equal(w, before)
    assert torch.equal(hessian, before_hessian)


def test_what_does_not_fit_is_refused() -> None:
    w, hessian = weight(), torch.eye(INPUTS)
    with pytest.raises(PrecisionError, match=r"Hessian of \(256, 256\)"):
        gptq(w, torch.eye(3), 1, 128)
    with pytest.raises(PrecisionError, match="group size that divides 256"):
        gptq(w, hessian, 1, 96)
    hessian[3, 3] = float("nan")
    with pytest.raises(PrecisionError, match="not finite"):
        gptq(w, hessian, 1, 128)


def test_shrinking_keeps_what_is_sure() -> None:
    """With few samples chance goes and the strong direction stays; with many all stays."""
    generator = torch.Generator().manual_seed(0)
    sign = torch.randn(INPUTS, generator=generator).sign()
    true = 0.5 * sign.outer(sign)
    true.diagonal().fill_(1.0)
    aside = torch.eye(INPUTS) - sign.outer(sign) / INPUTS
    for samples in (100, 20_000):
        x = torch.randn(samples, INPUTS, generator=generator) + torch.randn(samples, 1, generator=generator) * sign
        raw = torch.corrcoef(x.T)
        shrunk = raw.clone()
        shrink(shrunk, samples)
        assert torch.equal(shrunk.diagonal(), torch.ones(INPUTS))
        assert float((aside @ (shrunk - true) @ aside).norm()) < 0.5 * float((aside @ (raw - true) @ aside).norm())
        assert float(sign @ shrunk @ sign) == pytest.approx(float(sign @ raw @ sign), rel=0.02)


def test_shrinking_leaves_what_many_samples_say() -> None:
    raw = torch.corrcoef(Inputs(rank=16, noise=0.5).draw(20_000).T)
    shrunk = raw.clone()
    shrink(shrunk, 20_000)
    assert float((shrunk - raw).norm()) < 0.01 * float(raw.norm())
