import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from mobile_vla_models.pooling import pool_tokens


@st.composite
def batches(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """States and a mask that leaves every sample at least one token, anywhere."""
    length = draw(st.integers(1, 9))
    row = st.lists(st.booleans(), min_size=length, max_size=length).filter(any)
    mask = torch.tensor(draw(st.lists(row, min_size=1, max_size=4)))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 1000)))
    return torch.randn(*mask.shape, 3, generator=generator), mask


@given(batches(), st.integers(1, 12))
def test_as_torch_pools_the_tokens_that_count(batch: tuple[Tensor, Tensor], count: int) -> None:
    states, mask = batch
    pooled = pool_tokens(states, mask, count)
    torch_pool = nn.AdaptiveMaxPool1d(count)
    expected = [torch_pool(tokens[counts].T).T for tokens, counts in zip(states, mask, strict=True)]
    assert torch.equal(pooled, torch.stack(expected))


@given(batches(), st.integers(1, 12))
def test_other_tokens_change_nothing(batch: tuple[Tensor, Tensor], count: int) -> None:
    states, mask = batch
    pooled = pool_tokens(states, mask, count)
    for value in (1e9, float("nan")):
        assert torch.equal(pool_tokens(states.masked_fill(~mask[..., None], value), mask, count), pooled)
    padded = torch.cat([torch.full_like(states, 7.0), states], dim=1)
    assert torch.equal(pool_tokens(padded, torch.cat([torch.zeros_like(mask), mask], dim=1), count), pooled)


def test_gradients_are_those_of_torch() -> None:
    states = torch.randn(1, 7, 3, requires_grad=True)
    pool_tokens(states, torch.ones(1, 7, dtype=torch.bool), 3).square().sum().backward()
    ours, states.grad = states.grad, None
    nn.AdaptiveMaxPool1d(3)(states.transpose(1, 2)).square().sum().backward()
    assert ours is not None
    assert states.grad is not None
    torch.testing.assert_close(ours, states.grad)


def test_masked_tokens_get_no_gradient() -> None:
    states = torch.randn(2, 4, 3, requires_grad=True)
    mask = torch.tensor([[True, False, True, False], [False, True, True, True]])
    pool_tokens(states, mask, 2).sum().backward()
    assert states.grad is not None
    assert bool(states.grad.isfinite().all())
    assert not bool(states.grad[~mask].any())


def test_a_sample_without_a_token_is_refused() -> None:
    mask = torch.tensor([[True, True], [False, False]])
    with pytest.raises(ValueError, match="sample 1 of 2 has no token"):
        pool_tokens(torch.zeros(2, 2, 3), mask, 1)


@pytest.mark.parametrize(
    ("mask", "count", "message"),
    [
        (torch.ones(2, 5, dtype=torch.bool), 1, r"\(2, 5\).*\(2, 4, 3\)"),
        (torch.ones(2, 4), 1, "mask is torch.float32"),
        (torch.ones(2, 4, dtype=torch.bool), 0, "to 0 tokens"),
    ],
)
def test_what_does_not_fit_is_refused(mask: Tensor, count: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pool_tokens(torch.zeros(2, 4, 3), mask, count)
