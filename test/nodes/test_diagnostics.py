import numpy as np
import pytest

pytest.importorskip("diagnostic_msgs")

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticStatus

from mobile_vla_ros.control import ActionRange, ControllerConfig, DriveController, DriveState, Limits
from mobile_vla_ros.control.pace import Pace
from mobile_vla_ros.control.plan import ActionPlan
from mobile_vla_ros.control.rhythm import RhythmReport
from mobile_vla_ros.inference.worker import Planned
from mobile_vla_ros.policy_node.diagnostics import (
    Counts,
    control_status,
    gathered,
    lifecycle_status,
    pace_status,
    provenance,
    values_of,
)


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
    status = pace_status("/robot/policy_node", report, "d1ce")
    assert status.name == "/robot/policy_node: policy"
    assert status.level == level
    assert status.message == report.text
    values = values_of(status)
    assert values["policy"] == "d1ce"
    assert values["rate (Hz)"] == f"{1 / period:.1f}"
    assert values["trained rate (Hz)"] == "5.0"
    assert values["step p99 (ms)"] == f"{1e3 * step:.1f}"
    assert values["frame to answer p50 (ms)"] == f"{1e3 * (step + 0.01):.1f}"


def test_counts_are_read_as_they_were_written() -> None:
    counts = Counts(100, refused=7, replaced=3)
    assert Counts.read(counts.values()) == counts
    assert Counts.read({"frames received": "100"}) is None


def test_nothing_to_answer_is_no_fault() -> None:
    status = pace_status("/policy_node", None, "")
    assert status.level == DiagnosticStatus.OK
    assert status.message == "no answers yet"


def test_what_is_commanded_and_what_the_watchdogs_saw() -> None:
    limits = Limits(0.0, 0.5, 1.0, 1.0, 3.0, 10.0, 30.0)
    controller = DriveController(limits, ControllerConfig(dt=0.2), ActionRange.unbounded())
    controller.arm(5.0, 5.0)
    controller.set_instruction("go to the red box")
    status = control_status(
        "/policy_node",
        controller,
        DriveState.STOPPED,
        "stopped: camera",
        5.25,
        Counts(100, refused=7, replaced=3),
        RhythmReport(19.96, 0.0523),
    )
    assert (status.name, status.level) == ("/policy_node: control", DiagnosticStatus.ERROR)
    assert status.message == "stopped: camera"
    assert values_of(status) == {
        "armed": "true",
        "emergency stop": "no",
        "instruction": "go to the red box",
        "camera watchdog": "0.25 s of silence, 0.3 s allowed",
        "policy watchdog": "waits for nothing, 0.3 s allowed",
        "odometry watchdog": "not used",
        "emergency stop watchdog": "not used",
        "control rate (Hz)": "20.0",
        "longest control period (ms)": "52.3",
        "frames received": "100",
        "frames dropped": "7",
        "frames replaced by newer ones": "3",
    }
    controller.arming.stop("pressed")
    controller.withdraw()
    status = control_status("/policy_node", controller, DriveState.WAITING, "", 5.25, Counts())
    values = values_of(status)
    assert status.level == DiagnosticStatus.OK
    assert (values["armed"], values["emergency stop"], values["instruction"]) == ("false", "pressed", "")


def test_a_transition_that_failed_is_an_error() -> None:
    assert lifecycle_status("/policy_node", "inactive", fault=False).level == DiagnosticStatus.OK
    status = lifecycle_status("/policy_node", "unconfigured: cannot configure: no memory", fault=True)
    assert (status.level, status.message) == (DiagnosticStatus.ERROR, "unconfigured: cannot configure: no memory")


def test_several_are_one_message() -> None:
    message = gathered(Time(sec=3), DiagnosticStatus(name="a"), DiagnosticStatus(name="b"))
    assert message.header.stamp.sec == 3
    assert [status.name for status in message.status] == ["a", "b"]


def test_provenance_names_frame_instruction_policy_and_the_age_at_each_station() -> None:
    plan = ActionPlan(1000.0, 0.2, np.zeros((2, 2)), np.zeros(2), 1)
    answer = Planned(plan, received=5.002, begun=5.003, decoded=5.005, planned=5.025)
    # The steady clock reads 5.026 s when the one of the frames reads 1000.030 s.
    stamp = Time(sec=1000, nanosec=31_000_000)
    message = provenance("/policy_node", answer, "go", "d1ce", now=1000.030, steady=5.026, stamp=stamp)
    (status,) = message.status
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (1000, 31_000_000)
    assert status.name == "/policy_node: provenance"
    assert status.level == DiagnosticStatus.OK
    values = values_of(status)
    assert (values.pop("instruction"), values.pop("policy")) == ("go", "d1ce")
    assert {key: float(value) for key, value in values.items()} == pytest.approx(
        {
            "frame (s)": 1000.0,
            "received (ms)": 6.0,
            "begun (ms)": 7.0,
            "decoded (ms)": 9.0,
            "planned (ms)": 29.0,
            "latency (ms)": 30.0,
        }
    )
