"""A random policy in the ONNX engine."""

from io import StringIO
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnxruntime")
import exported  # noqa: F401  (makes exports fast)
from rich.console import Console

from mobile_vla_models.benchmark.policy import roofline
from mobile_vla_models.benchmark.policy.export_error import ExportError
from mobile_vla_models.benchmark.policy.exported import exported_policy
from mobile_vla_models.benchmark.policy.report import Weights, measure_policy
from mobile_vla_models.benchmark.policy.tables import print_report
from mobile_vla_models.convert.hybrid_layout import small
from mobile_vla_models.receipt import BOUND


def test_it_runs_from_files_that_go_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roofline, "_LEAST", 1 << 22)
    monkeypatch.setattr(roofline, "_MOST", 1 << 22)
    monkeypatch.setattr(roofline, "_SQUARE", {"cpu": 32})
    folder = tmp_path / "files"
    with exported_policy("int8", folder, small()) as policy:
        report = measure_policy(policy, Weights("small", None, True), 1, 2, compare=True, endurance=0)
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
    assert report.comparison is not None
    assert report.export is not None
    # The others run the stored weights in torch; ours is the export.
    assert [way.difference for way in report.comparison.ways[:-1]] == pytest.approx([report.export.here] * 3, rel=1e-2)
    assert report.export.here > 1e-4
    assert (report.export.dtype, report.export.receipt, report.export.bound) == ("int8", None, BOUND)
    assert report.document()["export"]["within"] == (report.export.here <= BOUND)
    shown = StringIO()
    print_report(report, Console(file=shown, width=200))
    assert str(report.export) in shown.getvalue()


@pytest.mark.parametrize(("here", "said"), [(0.04, "within the 5.0%"), (0.06, "beyond the 5.0%")])
def test_an_error_is_said_beside_the_bound(here: float, said: str) -> None:
    line = str(ExportError("int8", here, 0.0123, 0.05))
    assert f"up to {here:.2%} of their range" in line
    assert "its receipt says 1.23%" in line
    assert said in line
