"""The shipped policy drives through ONNX Runtime."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

from bench import Bench
from rich.progress import Progress

from mobile_vla_models.engine.onnx_export import export
from mobile_vla_ros.share import SHIPPED_POLICY, share_path

pytestmark = pytest.mark.e2e


def test_the_shipped_policy_drives_through_onnx_runtime(bench: Bench, tmp_path: Path) -> None:
    policy = shutil.copytree(share_path(SHIPPED_POLICY), tmp_path / "policy")
    export(policy, "fp32", Progress(disable=True))
    # Steps of a busy machine may take longer than a robot would allow; the turn would be done before its rate is known.
    node = bench.start(
        "-m",
        "mobile_vla_ros.policy_node",
        parameters={
            "policy": str(policy),
            "engine": "onnx",
            "policy_timeout": 5.0,
            "plan_timeout": 10.0,
            "max_blind_distance": 100.0,
            "max_blind_angle": 100.0,
            "stop_threshold": 1.0,
        },
    )
    bench.start("camera.py", "rgb8")
    bench.until_ready()
    bench.instruct("turn left")
    bench.until(lambda: any((v, w) != (0.0, 0.0) for _, v, w in bench.commands))
    assert any(text.startswith("driving") for _, text in bench.statuses)
    bench.until(lambda: any(pair.key == "rate (Hz)" for status in bench.diagnostics for pair in status.values))
    assert "ONNX Runtime" in node.output


def test_an_export_that_is_not_there_is_one_message(bench: Bench) -> None:
    policy = share_path(SHIPPED_POLICY)
    node = bench.start("-m", "mobile_vla_ros.policy_node", parameters={"policy": str(policy), "engine": "onnx"})
    assert node.wait() == 1
    (error,) = [line for line in node.output.splitlines() if "[ERROR]" in line]
    assert "cannot configure: " in error
    assert "onnx" in error
    assert "Traceback" not in node.output
