"""Both loops of the benchmark train the same; large data do not come into memory."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from accelerate.state import AcceleratorState

from mobile_vla_models.benchmark.training import speed
from mobile_vla_models.benchmark.training.large import FILE_BYTES, make_large_set, measure_large


@pytest.fixture(autouse=True)
def _alone() -> None:
    AcceleratorState._reset_state(True)


def test_both_loops_have_the_same_loss_on_the_same_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "BATCH", 4)
    found = speed.measure_speed(episodes=1, frames=9, epochs=2, plain_steps=1)
    plain, trained = found.losses
    assert trained == pytest.approx(plain, rel=1e-3)
    assert found.epoch == 8
    assert min(found.plain, found.first, found.later) > 0.0


def test_more_data_takes_no_more_memory(tmp_path: Path) -> None:
    peaks = []
    for files in (2, 8):
        source = make_large_set(tmp_path / str(files), files * FILE_BYTES)
        assert sum(file.stat().st_blocks * 512 for file in source.path.iterdir()) < 1e7, "the files are not sparse"
        # A process of its own: what other tests have the C library keep of freed memory would count.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            found = pool.submit(measure_large, source, 1).result()
        assert found.data == files * FILE_BYTES
        peaks.append(found.peak)
    assert peaks[1] - peaks[0] < 6 * FILE_BYTES / 8
