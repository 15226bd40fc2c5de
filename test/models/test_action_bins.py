from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from mobile_vla_models.action_bins import ActionBins

FIXTURE = Path(__file__).parent / "fixtures" / "peer_action_tokenizer.safetensors"
PEER = ActionBins(bins=256, end=583)

action_bins = st.builds(
    lambda bins, below: ActionBins(bins, bins + below), st.integers(2, 400), st.integers(0, 1_000_000)
)
values = st.lists(st.floats(-1.0, 1.0), min_size=1, max_size=20)


def test_edges_ids_and_values_are_the_peers() -> None:
    peer = load_file(FIXTURE)
    assert torch.equal(PEER.edges, peer["bins"])
    assert torch.equal(PEER.centres, peer["centers"])
    assert torch.equal(PEER.encode(peer["grid"]), peer["ids"])
    assert torch.equal(PEER.decode(peer["ids"]), peer["decoded"])


def test_ids_are_the_tail_below_end() -> None:
    assert PEER.ids == range(583 - 256, 583)
    assert PEER.encode(torch.tensor([-1.0, 1.0])).tolist() == [582, 327]
    assert PEER.decode(torch.tensor([582, 328, 327])).tolist() == [-1 + 1 / 255, 1 - 1 / 255, 1 - 1 / 255]


@given(action_bins, values)
def test_round_trip_errs_by_half_a_bin_at_most(bins: ActionBins, drawn: list[float]) -> None:
    given_values = torch.tensor(drawn, dtype=torch.float64)
    ids = bins.encode(given_values)
    assert ids.dtype == torch.int64
    assert set(ids.tolist()) <= set(bins.ids)
    error = (bins.decode(ids) - given_values).abs().max()
    assert error <= 1.0 / (bins.bins - 1) + 1e-12


@given(action_bins, values)
def test_ids_descend_as_values_ascend(bins: ActionBins, drawn: list[float]) -> None:
    ids = bins.encode(torch.tensor(sorted(drawn), dtype=torch.float64))
    assert bool((ids.diff() <= 0).all())


@given(st.integers(2, 50), st.integers(0, 100))
def test_every_id_but_the_lowest_decodes_to_its_own_bin(bins: int, below: int) -> None:
    found = ActionBins(bins, bins + below)
    ids = torch.tensor(found.ids)[1:]
    assert torch.equal(found.encode(found.decode(ids)), ids)


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 1, 4, 3), (0,)])
def test_shapes_are_kept(shape: tuple[int, ...]) -> None:
    ids = PEER.encode(torch.zeros(shape))
    assert ids.shape == shape
    assert PEER.decode(ids).shape == shape
    assert PEER.encode_binary(torch.zeros(shape)).shape == shape


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64])
def test_values_of_other_dtypes_are_clipped(dtype: torch.dtype) -> None:
    assert PEER.encode(torch.tensor([-5, -1, 1, 5]).to(dtype)).tolist() == [582, 582, 327, 327]


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_values_that_are_not_finite_are_refused(value: str) -> None:
    with pytest.raises(ValueError, match=f"cannot encode {value}"):
        PEER.encode(torch.tensor([0.0, float(value)]))


@pytest.mark.parametrize("token", [583, 326, 0, -1])
def test_ids_of_other_tokens_are_refused(token: int) -> None:
    """The peer decodes any id: its text tokens come out as full speed."""
    with pytest.raises(ValueError, match=rf"{token} is no action id, expected one of range\(327, 583\)"):
        PEER.decode(torch.tensor([[400], [token]]))


@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.float32])
def test_binary_labels_take_the_ids_of_the_ends(dtype: torch.dtype) -> None:
    assert PEER.binary_ids == (582, 327)
    ids = PEER.encode_binary(torch.tensor([0, 1, 1]).to(dtype))
    assert ids.dtype == torch.int64
    assert ids.tolist() == [582, 327, 327]
    assert torch.equal(ids, PEER.encode(torch.tensor([-1.0, 1.0, 1.0])))


def test_other_binary_labels_are_refused() -> None:
    with pytest.raises(ValueError, match=r"binary label 0\.5"):
        PEER.encode_binary(torch.tensor([0.0, 0.5]))


@pytest.mark.parametrize(("bins", "end"), [(1, 100), (0, 100), (101, 100)])
def test_bins_that_cannot_be_are_refused(bins: int, end: int) -> None:
    with pytest.raises(ValueError, match=f"{bins} bins"):
        ActionBins(bins, end)
