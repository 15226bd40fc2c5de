import ctypes
import mmap
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor

from mobile_vla_models.memory import drop_pages, process_memory, resident_bytes

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")

PAGE = mmap.PAGESIZE
PAGES = 256


@pytest.fixture(scope="module")
def numbers() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, PAGES * PAGE, dtype=np.uint8)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory, numbers: np.ndarray) -> Path:
    path = tmp_path_factory.mktemp("pages") / "numbers of a file"  # a name with spaces, as it stands in maps
    with path.open("wb") as output:
        output.write(numbers.tobytes())
        os.fsync(output.fileno())
    return path


def mapped(file: Path, *, shared: bool = False) -> Tensor:
    """All bytes of the file, each page touched."""
    tensor = torch.from_file(str(file), shared=shared, size=PAGES * PAGE, dtype=torch.uint8)
    tensor[::PAGE].sum()
    return tensor


@pytest.mark.parametrize("shared", [False, True])
def test_what_is_given_back_leaves_the_process_and_comes_again_unchanged(
    file: Path, numbers: np.ndarray, shared: bool
) -> None:
    tensor = mapped(file, shared=shared)
    assert resident_bytes(tensor) == PAGES * PAGE
    before = process_memory().file
    assert drop_pages(tensor) == PAGES * PAGE
    assert resident_bytes(tensor) == 0
    after = process_memory().file
    assert before is not None
    assert after is not None
    assert before - after >= PAGES * PAGE // 2
    np.testing.assert_array_equal(tensor.numpy(), numbers)


def test_anonymous_memory_is_refused_and_kept() -> None:
    tensor = torch.full((16 * PAGE,), 7, dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"tensor lies in anonymous memory .*expected a mapping of a file"):
        drop_pages(tensor)
    assert bool((tensor == 7).all())


def test_private_memory_of_a_device_is_anonymous_too() -> None:
    with Path("/dev/zero").open("r+b") as zero:
        memory = mmap.mmap(zero.fileno(), 4 * PAGE, flags=mmap.MAP_PRIVATE)
    tensor = torch.frombuffer(memory, dtype=torch.uint8)
    tensor.fill_(7)
    with pytest.raises(ValueError, match="tensor"):
        drop_pages(tensor)
    assert bool((tensor == 7).all())


def test_pages_that_were_written_to_are_refused_and_kept(file: Path) -> None:
    tensor = mapped(file)
    tensor[5 * PAGE + 3] = 200
    tensor[9 * PAGE] = 201
    with pytest.raises(ValueError, match=r"tensor has 2 pages of its own, changed since .*numbers of a file was"):
        drop_pages(tensor)
    assert tensor[5 * PAGE + 3] == 200
    assert drop_pages(tensor[10 * PAGE :]) == (PAGES - 10) * PAGE


@given(st.integers(0, PAGES * PAGE), st.integers(0, PAGES * PAGE))
def test_pages_beyond_the_tensor_stay(file: Path, numbers: np.ndarray, one: int, other: int) -> None:
    whole = mapped(file)
    begin, end = min(one, other), max(one, other)
    part = whole[begin:end]
    assert resident_bytes(part) == end - begin
    dropped = drop_pages(part)
    inner = max(end // PAGE - -(-begin // PAGE), 0) * PAGE
    assert dropped == inner
    assert resident_bytes(part) == end - begin - inner
    assert resident_bytes(whole) == PAGES * PAGE - inner
    np.testing.assert_array_equal(part.numpy(), numbers[begin:end])


def test_a_tensor_with_gaps_spans_from_its_first_to_its_last_number(file: Path) -> None:
    whole = mapped(file)
    column = whole.view(PAGES, PAGE)[2:5, 100]
    assert resident_bytes(column) == 2 * PAGE + 1
    assert drop_pages(column) == PAGE
    assert resident_bytes(whole) == (PAGES - 1) * PAGE


def test_tensors_of_a_mapped_checkpoint_can_be_given_back(tmp_path: Path) -> None:
    weights = {"a": torch.arange(300_000, dtype=torch.float32), "b": torch.ones(100, 1000)}
    torch.save(weights, tmp_path / "weights.pth")
    save_file(weights, tmp_path / "weights.safetensors")
    stored = torch.load(tmp_path / "weights.pth", mmap=True, weights_only=True)
    for tensors in (stored, load_file(tmp_path / "weights.safetensors")):
        for name, tensor in tensors.items():
            assert torch.equal(tensor, weights[name])
            assert resident_bytes(tensor) == tensor.nbytes
            assert drop_pages(tensor) >= tensor.nbytes - 2 * PAGE
            assert resident_bytes(tensor) <= 2 * PAGE
            assert torch.equal(tensor, weights[name])


def cached(tensor: Tensor) -> int:
    """Pages of a tensor at the begin of a page that the kernel has, whoever uses them."""
    pages = -(-tensor.nbytes // PAGE)
    found = (ctypes.c_ubyte * pages)()
    assert ctypes.CDLL(None).mincore(ctypes.c_void_p(tensor.data_ptr()), ctypes.c_size_t(tensor.nbytes), found) == 0
    return sum(entry & 1 for entry in found)


def test_the_kernel_forgets_the_pages_only_when_asked_to(file: Path, numbers: np.ndarray) -> None:
    kind = subprocess.run(["stat", "-f", "-c", "%T", file], check=True, capture_output=True, text=True).stdout.strip()
    if kind == "tmpfs":
        pytest.skip("a file in memory is never forgotten")
    tensor = mapped(file)
    drop_pages(tensor)
    assert cached(tensor) == PAGES
    drop_pages(tensor, from_cache=True)
    assert cached(tensor) < PAGES // 4
    np.testing.assert_array_equal(tensor.numpy(), numbers)


def test_a_file_that_was_replaced_keeps_its_pages_in_the_cache(tmp_path: Path, numbers: np.ndarray) -> None:
    path = tmp_path / "replaced"
    path.write_bytes(numbers.tobytes())
    tensor = mapped(path)
    path.unlink()
    assert drop_pages(tensor, from_cache=True) == PAGES * PAGE
    np.testing.assert_array_equal(tensor.numpy(), numbers)


@pytest.mark.parametrize("tensor", [torch.empty(3, device="meta"), torch.eye(3).to_sparse()])
def test_what_has_no_pages_is_refused(tensor: Tensor) -> None:
    for use in (drop_pages, resident_bytes):
        with pytest.raises(ValueError, match="expected a strided tensor on the CPU"):
            use(tensor)


def test_an_empty_tensor_has_none() -> None:
    assert resident_bytes(torch.empty(0)) == 0
    assert drop_pages(torch.empty(0, 5)) == 0
