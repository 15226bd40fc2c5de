"""A random policy in the ONNX engine."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnxruntime")
import exported  # noqa: F401  (makes exports fast)

from mobile_vla_models.benchmark.policy import roofline
from mobile_vla_models.benchmark.policy.exported import exported_policy
from mobile_vla_models.benchmark.policy.report import Weights, measure_policy
from mobile_vla_models.convert.hybrid_layout import small


def test_it_runs_from_files_that_go_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roofline, "_LEAST", 1 << 22)
    monkeypatch.setattr(roofline, "_MOST", 1 << 22)
    monkeypatch.setattr(roofline, "_SQUARE", {"cpu": 32})
    folder = tmp_path / "files"
    with exported_policy("int8", folder, small()) as policy:
        report = measure_policy(policy, Weights("small", None, True), 1, 2, compare=False, endurance=0)
        chunk = policy.step(np.zeros((48, 64, 3), np.uint8), "go to the red box")
    assert np.isfinite(chunk.continuous).all()
    assert report.engine.startswith("ONNX Runtime")
    assert set(report.roofline.rates) == {"fp32", "int8"}
    # The decoder's matrices are read as integers, the head's as float32.
    assert {part.cost.name: part.cost.precision.value for part in report.floor} == {
        "vision": "w8a8",
        "connector": "w8a8",
        "text": "w8a8",
        "clip": "w8a8",
        "history": "fp32",
        "head": "fp32",
    }
    assert list(folder.iterdir()) == []
