import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobile_vla_ros.control.gate import FrameGate
from mobile_vla_ros.control.watchdog import ClockGuard, Watchdog


def test_silence_is_overdue_only_after_the_timeout_and_only_when_awaited() -> None:
    watchdog = Watchdog(0.3)
    assert watchdog.overdue(100.0) is None
    watchdog.start(1.0)
    assert watchdog.overdue(1.29) is None
    assert watchdog.overdue(1.5) == pytest.approx(0.5)
    watchdog.start(1.5)
    assert watchdog.overdue(1.6) is None
    watchdog.clear()
    assert not watchdog.running
    assert watchdog.overdue(100.0) is None


def test_a_clock_that_is_not_a_number_is_overdue() -> None:
    watchdog = Watchdog(0.3)
    watchdog.start(1.0)
    assert watchdog.overdue(math.nan) is not None


@pytest.mark.parametrize(
    ("now", "what"),
    [(4.0, "jumped back by 6.00 s"), (20.0, "jumped forward by 9.95 s"), (math.nan, "reads nan s")],
)
def test_jumps_of_the_clock_are_named(now: float, what: str) -> None:
    guard = ClockGuard(0.5)
    assert guard.jump(10.0, 100.0) is None
    assert what in (guard.jump(now, 100.05) or "")


@pytest.mark.parametrize("now", [10.05, 10.0, 9.6, 10.5])
def test_a_clock_that_runs_stands_still_or_is_slewed_has_not_jumped(now: float) -> None:
    guard = ClockGuard(0.5)
    assert guard.jump(10.0, 100.0) is None
    assert guard.jump(now, 100.05) is None


def test_after_a_jump_the_new_time_counts() -> None:
    guard = ClockGuard(0.5)
    guard.jump(10.0, 100.0)
    guard.jump(0.0, 100.05)
    assert guard.jump(0.05, 100.1) is None


@pytest.mark.parametrize("rate", [7.0, 10.0, 15.0, 29.97, 30.0, 60.0])
def test_the_gate_passes_one_frame_per_dt_whatever_the_rate(rate: float) -> None:
    gate = FrameGate(0.2)
    taken = [k / rate for k in range(int(60 * rate)) if gate.take(k / rate)]
    assert len(taken) == pytest.approx(300, abs=2)
    assert all(abs(b - a - 0.2) <= 1 / rate for a, b in itertools.pairwise(taken))


@given(st.lists(st.floats(-0.012, 0.012), min_size=50, max_size=50))
def test_jitter_of_the_camera_does_not_change_the_rate(jitter: list[float]) -> None:
    gate = FrameGate(0.2)
    taken = [k for k, offset in enumerate(jitter) if gate.take(k * 0.1 + offset + 1.0)]
    assert taken == list(range(0, 50, 2))


def test_the_gate_starts_anew_after_a_gap_and_after_a_reset() -> None:
    gate = FrameGate(0.2)
    assert gate.take(0.0)
    assert not gate.take(0.1)
    assert gate.take(5.05)
    assert not gate.take(5.15)
    assert gate.take(5.25)
    gate.reset()
    assert gate.take(5.26)
