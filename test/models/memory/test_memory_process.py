import mmap
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from fake_machine import FakeMachine

from mobile_vla_models.memory import PeakAnonymous, ProcessMemory, process_memory, reset_peak, trim_heap

MB = 2**20
SLACK = 24 * MB  # of the interpreter and the allocator beside what a test allocates


def pages(size: int) -> mmap.mmap:
    """`size` bytes of memory that are really there, asked of the kernel: malloc may have as much lying free."""
    block = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for start in range(0, size, mmap.PAGESIZE):
        block[start] = 1
    return block


linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


@linux
def test_allocated_memory_is_anonymous() -> None:
    before = process_memory()
    block = pages(64 * MB)
    after = process_memory()
    assert before.anonymous is not None
    assert after.anonymous is not None
    assert abs(after.anonymous - before.anonymous - len(block)) < SLACK
    assert after.rss - before.rss > len(block) - SLACK
    assert after.file is not None
    assert after.rss == after.anonymous + after.file


@linux
def test_the_peak_stays_until_it_is_reset() -> None:
    if not reset_peak():
        pytest.skip("this kernel does not reset peaks")
    block = pages(96 * MB)
    high = process_memory()
    block.close()
    low = process_memory()
    assert low.peak_rss is not None
    assert low.peak_rss >= high.rss - SLACK
    assert low.rss < high.rss - 96 * MB + SLACK
    assert reset_peak()
    reset = process_memory()
    assert reset.peak_rss is not None
    assert reset.peak_rss < low.peak_rss - 96 * MB + SLACK


@linux
def test_the_watched_peak_is_of_anonymous_memory_only(tmp_path: Path) -> None:
    file = tmp_path / "zeros"
    file.write_bytes(bytes(128 * MB))
    with PeakAnonymous() as watched:
        mapped = np.memmap(file, np.uint8, mode="r")
        assert mapped[::4096].sum() == 0
        block = pages(64 * MB)
        time.sleep(0.05)
        block.close()
    assert watched.before is not None
    assert watched.peak is not None
    assert abs(watched.peak - watched.before - 64 * MB) < SLACK


def test_an_error_goes_through_the_watch() -> None:
    with pytest.raises(KeyError), PeakAnonymous():
        raise KeyError("x")


def test_the_kinds_are_those_of_smaps_rollup_and_else_of_status(machine: FakeMachine) -> None:
    sizes = {"VmHWM": 900 * MB, "VmRSS": 500 * MB, "RssAnon": 300 * MB, "RssFile": 200 * MB, "VmSwap": 7 * MB}
    machine.status(sizes)
    assert process_memory(machine.root) == ProcessMemory(500 * MB, 300 * MB, 200 * MB, 7 * MB, 900 * MB)
    machine.write("smaps_rollup", "55ef-7fff ---p 0 00:00 0 [rollup]\nRss: 2048 kB\nPss: 9 kB\nAnonymous: 1024 kB\n")
    assert process_memory(machine.root) == ProcessMemory(2 * MB, MB, MB, 7 * MB, 900 * MB)


def test_without_proc_only_rss_is_known(tmp_path: Path) -> None:
    memory = process_memory(tmp_path)
    assert memory.rss > MB
    assert (memory.anonymous, memory.file, memory.swap, memory.peak_rss) == (None, None, None, None)


def test_a_peak_that_cannot_be_reset_is_said(tmp_path: Path) -> None:
    assert not reset_peak(tmp_path)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "clear_refs").mkdir()
    assert not reset_peak(tmp_path)


@linux
def test_freed_memory_goes_back_to_the_kernel() -> None:
    # Below glibc's threshold for mappings of their own, so that they lie in the heap; the last one holds its top.
    blocks = [np.ones(64 * 1024, np.uint8) for _ in range(1024)]
    held = process_memory().rss
    last = blocks[-1]
    del blocks
    if not trim_heap():
        pytest.skip("not glibc")
    assert process_memory().rss < held - 48 * MB
    assert last.sum() == 64 * 1024
