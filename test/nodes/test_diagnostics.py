import numpy as np
import pytest

pytest.importorskip("diagnostic_msgs")

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticStatus

from mobile_vla_ros.control.pace import Pace
from mobile_vla_ros.control.plan import ActionPlan
from mobile_vla_ros.diagnostics import pace_diagnostics, provenance
from mobile_vla_ros.inference import Planned


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


def test_provenance_names_the_frame_and_its_age_at_each_station() -> None:
    plan = ActionPlan(1000.0, 0.2, np.zeros((2, 2)), np.zeros(2), 1)
    answer = Planned(plan, received=5.002, begun=5.003, decoded=5.005, planned=5.025)
    # The steady clock reads 5.026 s when the one of the frames reads 1000.030 s.
    message = provenance("/policy_node", answer, now=1000.030, steady=5.026, stamp=Time(sec=1000, nanosec=31_000_000))
    (status,) = message.status
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (1000, 31_000_000)
    assert status.name == "/policy_node: provenance"
    assert status.level == DiagnosticStatus.OK
    values = {pair.key: float(pair.value) for pair in status.values}
    assert values == pytest.approx(
        {"frame (s)": 1000.0, "received (ms)": 6.0, "begun (ms)": 7.0, "decoded (ms)": 9.0, "planned (ms)": 29.0}
    )
