"""The benchmark of the node, run over DDS for a moment; its figures are those of a busy machine."""

import json
import math
from pathlib import Path

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("torch")

from rich.console import Console

from mobile_vla_ros.benchmark.report import print_measured
from mobile_vla_ros.benchmark.run import Setting, measure_policy
from mobile_vla_ros.bringup.errors import BringUpError
from mobile_vla_ros.share import SHIPPED_POLICY, share_path

pytestmark = pytest.mark.e2e


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("ROS_DOMAIN_ID", "ROS_AUTOMATIC_DISCOVERY_RANGE"):
        monkeypatch.setenv(name, "0")  # so that what is set there does not outlive the test
    monkeypatch.setenv("ROS_HOME", str(tmp_path))


@pytest.mark.parametrize("transport", ["raw", "compressed"])
def test_the_shipped_policy_is_measured(transport: str, capsys: pytest.CaptureFixture[str]) -> None:
    measured = measure_policy(share_path(SHIPPED_POLICY), "torch", Setting(transport, "cpu", 1, 5.0))
    figures = measured.figures
    assert measured.threads == "1, as asked for"
    assert figures.steps >= 2
    assert figures.policy.p50 > 0.0
    assert all(times.p50 >= 0.0 for times in figures.stages.values())
    assert math.isfinite(figures.sent.p99)
    json.dumps(measured.document(), allow_nan=False)
    print_measured(measured, Console(width=120))
    assert "frame to command, less that" in capsys.readouterr().out


def test_a_node_that_cannot_start_is_said(tmp_path: Path) -> None:
    with pytest.raises(BringUpError, match=r"policy_node ended with exit code 1.*(\n.*)*cannot configure: "):
        measure_policy(tmp_path, "torch", Setting("raw", "cpu", 0, 5.0))
