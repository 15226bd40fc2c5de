"""The elements of tensors, in pieces: all of them, in order, in bounded memory, with nothing left in the page cache."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from checkpoint_files import DTYPES, FLOAT8, bits, entry_for, same, tensor_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from mobile_vla_models.checkpoint import content
from mobile_vla_models.checkpoint.entry import TensorEntry
from mobile_vla_models.errors import CheckpointError

VIEWS = {
    "matrix": lambda t: t,
    "transposed": lambda t: t.t(),
    "columns": lambda t: t[:, 1:4],
    "steps": lambda t: t[1::2, ::3],
    "column": lambda t: t[:, 2],
    "repeated": lambda t: t[1].expand(4, 7),
    "three": lambda t: t.reshape(3, 2, 7).permute(2, 0, 1),
    "scalar": lambda t: t[3, 4],
    "empty": lambda t: t[:0].t(),
}


@pytest.mark.parametrize("offset", [0, 4, 3])
@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float8_e5m2, torch.int64], ids=str)
def test_every_way_of_reading_gives_the_tensor(dtype: torch.dtype, view: str, offset: int, tmp_path: Path) -> None:
    expected = VIEWS[view](tensor_of(dtype, 6, 7))
    entry = entry_for(tmp_path / "data", expected, offset)
    assert same(content.read(entry), expected)
    assert content.read(entry).is_contiguous()
    assert same(content.mapped(entry), expected)
    assert content.mapped(entry).data_ptr() % dtype.itemsize == 0
    for most_bytes in (1, 5, 24, 100, 10_000):
        found = [piece.clone() for piece in content.pieces(entry, most_bytes)]
        assert all(piece.dtype == dtype and piece.dim() == 1 for piece in found)
        assert all(piece.numel() * dtype.itemsize <= max(most_bytes, dtype.itemsize) for piece in found)
        assert b"".join(bits(piece) for piece in found) == bits(expected)
    if expected.dim() and expected.shape[0] > 2:
        assert same(content.rows(entry, 1, 3), expected[1:3])


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=4),
    steps=st.lists(st.integers(0, 9), min_size=4, max_size=4),
    first=st.integers(0, 5),
    offset=st.integers(0, 9),
    most=st.integers(4, 90),
)
def test_any_strides(shape: list[int], steps: list[int], first: int, offset: int, most: int, tmp_path: Path) -> None:
    base = torch.arange(200, dtype=torch.int32)
    expected = base.as_strided(shape, steps[: len(shape)], first)
    entry = entry_for(tmp_path / "data", expected, offset)
    assert same(content.read(entry), expected)
    assert same(content.mapped(entry), expected)
    assert torch.cat([piece.clone() for piece in content.pieces(entry, most)]).equal(expected.flatten())


@pytest.mark.parametrize("view", [lambda t: t, lambda t: t.t()], ids=["contiguous", "transposed"])
def test_pieces_use_one_memory(view: object, tmp_path: Path) -> None:
    entry = entry_for(tmp_path / "data", view(torch.ones(1000, 300)))
    places = {piece.data_ptr() for piece in content.pieces(entry, 4096)}
    assert len(places) == 1


def test_what_was_read_leaves_the_page_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = entry_for(tmp_path / "data", torch.ones(100_000), 100)
    dropped: set[int] = set()

    def advise(_descriptor: int, begin: int, length: int, advice: int) -> None:
        assert advice == os.POSIX_FADV_DONTNEED
        dropped.update(range(begin // 4096, (begin + length) // 4096))

    monkeypatch.setattr(os, "posix_fadvise", advise)
    for _ in content.pieces(entry, 10_000):
        pass
    assert dropped == set(range(-(-(100 + 400_000) // 4096)))
    dropped.clear()
    transposed = TensorEntry(entry.dtype, (100, 1000), (1, 100), entry.file, entry.offset, entry.storage)
    for _ in content.pieces(transposed, 10_000):
        pass
    assert dropped == set(range(-(-(100 + 400_000) // 4096)))


def test_mapped_is_private_and_read_is_a_copy(tmp_path: Path) -> None:
    entry = entry_for(tmp_path / "data", torch.ones(8))
    before = entry.file.read_bytes()
    content.mapped(entry).zero_()
    content.read(entry).zero_()
    assert entry.file.read_bytes() == before


def special(dtype: torch.dtype) -> Tensor:
    return torch.tensor([1.0, float("nan"), 0.0, float("inf"), float("-inf"), -2.0]).to(dtype)


@pytest.mark.parametrize("dtype", [dtype for dtype in DTYPES if dtype.is_floating_point], ids=str)
def test_not_finite(dtype: torch.dtype, tmp_path: Path) -> None:
    values = special(dtype)
    expected = int((~torch.isfinite(values.float())).sum())
    assert expected >= (1 if dtype in FLOAT8 else 3)
    assert content.not_finite(entry_for(tmp_path / "data", values)) == expected
    assert content.not_finite(entry_for(tmp_path / "data", values[::2], 3)) == int(
        (~torch.isfinite(values[::2].float())).sum()
    )
    assert content.not_finite(entry_for(tmp_path / "data", torch.zeros(0, dtype=dtype))) == 0


def test_not_finite_of_many_pieces_and_other_dtypes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "_CHECKED", 64)
    values = torch.ones(1000)
    values[[0, 500, 999]] = float("nan")
    assert content.not_finite(entry_for(tmp_path / "data", values)) == 3
    assert content.not_finite(entry_for(tmp_path / "data", torch.complex(values, values))) == 3
    missing = TensorEntry(torch.int64, (4,), (1,), tmp_path / "none", 0, 0)
    assert content.not_finite(missing) == 0


def test_file_that_became_shorter(tmp_path: Path) -> None:
    entry = entry_for(tmp_path / "data", torch.ones(100, 10))
    transposed = TensorEntry(entry.dtype, (10, 100), (1, 10), entry.file, entry.offset, entry.storage)
    os.truncate(entry.file, 3000)
    for each in (entry, transposed):
        for way in (content.read, content.not_finite, lambda e: list(content.pieces(e, 64))):
            with pytest.raises(CheckpointError, match="ends at byte 3000 inside a tensor"):
                way(each)
    with pytest.raises(CheckpointError, match="ends at byte 3000 inside a tensor"):
        content.mapped(entry)


@pytest.mark.parametrize(("first", "last"), [(-1, 2), (2, 1), (0, 7)])
def test_rows_that_are_not_there(first: int, last: int, tmp_path: Path) -> None:
    entry = entry_for(tmp_path / "data", torch.ones(6, 2))
    with pytest.raises(CheckpointError, match=f"rows {first} to {last}"):
        content.rows(entry, first, last)
