"""Both loops of the benchmark train the same; large data do not come into memory."""

from __future__ import annotations

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


def test_steps_on_large_data_take_a_part_of_its_size(tmp_path: Path) -> None:
    source = make_large_set(tmp_path / "large", 6 * FILE_BYTES)
    assert sum(file.stat().st_blocks * 512 for file in source.path.iterdir()) < 1e7, "the files are not sparse"
    found = measure_large(source, steps=1)
    assert found.data == 6 * FILE_BYTES
    assert found.peak - found.before < found.data / 2
