import pytest

pytest.importorskip("diagnostic_msgs")

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticStatus

from mobile_vla_ros.control.pace import Pace
from mobile_vla_ros.diagnostics import pace_diagnostics


@pytest.mark.parametrize(
    ("dt", "period", "step", "level"),
    [
        (0.2, 0.2, 0.05, DiagnosticStatus.OK),
        (0.2, 0.4, 0.35, DiagnosticStatus.WARN),
        (0.2, 0.4, 0.05, DiagnosticStatus.WARN),
    ],
)
def test_a_policy_out_of_its_rhythm_is_a_warning(dt: float, period: float, step: float, level: bytes) -> None:
    pace = Pace(dt)
    for number in range(20):
        pace.add(step, step + 0.01, number * period)
    report = pace.report(19 * period)
    assert report is not None
    message = pace_diagnostics("/robot/policy_node", report, Time(sec=3))
    (status,) = message.status
    assert message.header.stamp.sec == 3
    assert status.name == "/robot/policy_node: policy"
    assert status.level == level
    assert status.message == report.text
    values = {pair.key: pair.value for pair in status.values}
    assert values["rate (Hz)"] == f"{1 / period:.1f}"
    assert values["trained rate (Hz)"] == "5.0"
    assert values["step p99 (ms)"] == f"{1e3 * step:.1f}"
    assert values["frame to answer p50 (ms)"] == f"{1e3 * (step + 0.01):.1f}"


def test_nothing_to_answer_is_no_fault() -> None:
    (status,) = pace_diagnostics("/policy_node", None, Time()).status
    assert status.level == DiagnosticStatus.OK
    assert status.message == "no answers yet"
