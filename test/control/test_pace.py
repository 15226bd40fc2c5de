from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobile_vla_ros.control.pace import WINDOW, Pace

SECONDS = st.floats(min_value=1e-4, max_value=5.0)


def paced(dt: float, period: float, step: float, count: int = 40) -> Pace:
    pace = Pace(dt)
    for number in range(count):
        pace.add(step, step + 0.02, number * period)
    return pace


def test_in_rhythm() -> None:
    report = paced(0.2, 0.2, 0.06).report(39 * 0.2)
    assert report is not None
    assert report.rate == pytest.approx(5.0)
    assert report.expected == pytest.approx(5.0)
    assert report.step == (0.06, 0.06, 0.06)
    assert report.age[0] == pytest.approx(0.08)
    assert not report.too_slow
    assert not report.starved
    assert report.text == "5.0 Hz of 5.0 Hz, steps of 60 ms (p99 60)"


def test_a_policy_slower_than_its_step_is_named() -> None:
    report = paced(0.2, 0.35, 0.33).report(39 * 0.35)
    assert report is not None
    assert report.too_slow
    assert not report.starved
    assert "cannot keep the dt" in report.text


def test_a_slow_camera_is_not_the_policys_fault() -> None:
    report = paced(0.2, 0.5, 0.06).report(39 * 0.5)
    assert report is not None
    assert report.starved
    assert not report.too_slow
    assert "too few frames" in report.text


def test_answers_that_stop_make_the_rate_fall_and_then_nothing_is_said() -> None:
    pace = paced(0.2, 0.2, 0.06)
    end = 39 * 0.2
    early, late = pace.report(end), pace.report(end + 4.0)
    assert early is not None
    assert late is not None
    assert late.rate < 0.7 * early.rate
    assert pace.report(end + WINDOW + 0.1) is None


def test_nothing_is_known_at_first_and_after_a_pause() -> None:
    pace = Pace(0.2)
    assert pace.report(0.0) is None
    pace.add(0.05, 0.06, 1.0)
    assert pace.report(1.0) is None
    pace.add(0.05, 0.06, 1.2)
    assert pace.report(1.2) is not None
    pace.clear()
    assert pace.report(1.2) is None


@pytest.mark.parametrize("dt", [0.0, -0.1, float("nan"), float("inf")])
def test_a_step_that_is_none_is_refused(dt: float) -> None:
    with pytest.raises(ValueError, match="expected a number of seconds above 0"):
        Pace(dt)


@given(st.lists(st.tuples(SECONDS, SECONDS), min_size=2, max_size=200))
def test_percentiles_are_among_the_values_and_in_order(answers: list[tuple[float, float]]) -> None:
    pace = Pace(0.2)
    for number, (step, age) in enumerate(answers):
        pace.add(step, age, number * WINDOW / 400)
    report = pace.report(len(answers) * WINDOW / 400)
    assert report is not None
    for found, values in ((report.step, [step for step, _ in answers]), (report.age, [age for _, age in answers])):
        assert set(found) <= set(values)
        assert list(found) == sorted(found)
        assert sum(value <= found[0] for value in values) >= len(values) / 2
        assert sum(value <= found[2] for value in values) >= 0.99 * len(values)
    assert report.rate > 0.0
