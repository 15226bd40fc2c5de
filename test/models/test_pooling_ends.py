"""The mean, the first and the last of the tokens that count; padding is none of them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from mobile_vla_models.pooling import end_token, mean_token

ENDS: Any = ("first", "last")


@st.composite
def batches(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """States and a mask that leaves every sample at least one token, anywhere."""
    length = draw(st.integers(1, 9))
    row = st.lists(st.booleans(), min_size=length, max_size=length).filter(any)
    mask = torch.tensor(draw(st.lists(row, min_size=1, max_size=4)))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 1000)))
    return torch.randn(*mask.shape, 3, generator=generator), mask


@given(batches())
def test_the_mean_is_that_of_the_tokens_that_count(batch: tuple[Tensor, Tensor]) -> None:
    states, mask = batch
    expected = torch.stack([tokens[counts].mean(dim=0) for tokens, counts in zip(states, mask, strict=True)])
    found = mean_token(states, mask)
    assert found.shape == (len(states), 1, 3)
    torch.testing.assert_close(found[:, 0], expected)


@given(batches(), st.sampled_from(ENDS))
def test_the_ends_are_those_of_the_tokens_that_count(batch: tuple[Tensor, Tensor], end: Any) -> None:
    states, mask = batch
    place = 0 if end == "first" else -1
    expected = torch.stack([tokens[counts][place] for tokens, counts in zip(states, mask, strict=True)])
    assert torch.equal(end_token(states, mask, end), expected.unsqueeze(1))


@given(batches())
def test_padding_changes_nothing(batch: tuple[Tensor, Tensor]) -> None:
    states, mask = batch
    found = [mean_token(states, mask), *(end_token(states, mask, end) for end in ENDS)]
    for value in (1e9, float("nan"), float("inf")):
        changed = states.masked_fill(~mask[..., None], value)
        again = [mean_token(changed, mask), *(end_token(changed, mask, end) for end in ENDS)]
        assert all(torch.equal(before, after) for before, after in zip(found, again, strict=True))
    for padded in ((torch.full_like(states, 7.0), states), (states, torch.full_like(states, 7.0))):
        masks = [torch.zeros_like(mask) if part is not states else mask for part in padded]
        wide, wide_mask = torch.cat(padded, dim=1), torch.cat(masks, dim=1)
        for end in ENDS:
            assert torch.equal(end_token(wide, wide_mask, end), end_token(states, mask, end))
        torch.testing.assert_close(mean_token(wide, wide_mask), found[0])


def test_a_mean_in_half_the_bits_is_summed_in_full() -> None:
    """In float16 the sum of these overflows."""
    states = torch.full((1, 64, 2), 3000.0, dtype=torch.float16)
    found = mean_token(states, torch.ones(1, 64, dtype=torch.bool))
    assert found.dtype == torch.float16
    assert torch.equal(found, torch.full((1, 1, 2), 3000.0, dtype=torch.float16))


def test_the_mean_of_many_small_steps_keeps_them() -> None:
    """In bfloat16 a running sum stops to grow at 256."""
    states = torch.ones(1, 1000, 1, dtype=torch.bfloat16)
    assert float(mean_token(states, torch.ones(1, 1000, dtype=torch.bool))) == 1.0


@pytest.mark.parametrize("pool", [mean_token, *(lambda s, m, e=end: end_token(s, m, e) for end in ENDS)])
def test_a_sample_without_a_token_is_refused(pool: Any) -> None:
    with pytest.raises(ValueError, match="sample 1 of 2 has no token"):
        pool(torch.zeros(2, 2, 3), torch.tensor([[True, True], [False, False]]))
    with pytest.raises(ValueError, match=r"mask is torch\.float32"):
        pool(torch.zeros(2, 2, 3), torch.ones(2, 2))
