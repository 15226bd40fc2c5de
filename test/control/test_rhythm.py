import pytest

from mobile_vla_ros.control.rhythm import Rhythm


def test_rate_and_longest_period_are_those_since_the_last_report() -> None:
    rhythm = Rhythm()
    assert rhythm.report() is None
    rhythm.tick(10.0)
    assert rhythm.report() is None
    for steady in (10.05, 10.1, 10.2):
        rhythm.tick(steady)
    report = rhythm.report()
    assert report is not None
    assert report.rate == pytest.approx(15.0)
    assert report.longest == pytest.approx(0.1)
    assert rhythm.report() is None
    rhythm.tick(10.25)  # its period began before the report
    report = rhythm.report()
    assert report is not None
    assert report.rate == pytest.approx(20.0)
    rhythm.clear()
    rhythm.tick(99.0)
    assert rhythm.report() is None
