"""Zeros that come where the control loop does not."""

import threading
import time
from collections.abc import Iterator

import pytest

pytest.importorskip("rclpy")

from mobile_vla_ros.control.controller import STARVED
from mobile_vla_ros.policy_node.loop_guard import LoopGuard

PERIOD = 0.02


class Zeros:
    def __init__(self) -> None:
        self.times: list[float] = []
        self.guard = LoopGuard(PERIOD, lambda: self.times.append(time.monotonic()))

    def until(self, count: int) -> None:
        end = time.monotonic() + 30.0
        while len(self.times) < count:
            assert time.monotonic() < end
            time.sleep(0.001)


@pytest.fixture
def zeros() -> Iterator[Zeros]:
    zeros = Zeros()
    yield zeros
    assert zeros.guard.close(30.0)


def test_nothing_is_commanded_before_the_loop_begins(zeros: Zeros) -> None:
    time.sleep(10.0 * PERIOD)
    assert not zeros.times
    assert not zeros.guard.beat(time.monotonic())


def test_zeros_come_while_the_loop_does_not_and_it_is_told(zeros: Zeros) -> None:
    begin = time.monotonic()
    assert not zeros.guard.beat(begin)
    zeros.until(3)
    assert zeros.times[0] - begin > STARVED * PERIOD
    assert zeros.guard.beat(time.monotonic())
    assert not zeros.guard.beat(time.monotonic())


def test_none_come_at_rest(zeros: Zeros) -> None:
    zeros.guard.beat(time.monotonic())
    zeros.until(1)
    zeros.guard.rest()
    time.sleep(2.0 * PERIOD)  # one may have been on its way
    count = len(zeros.times)
    time.sleep(10.0 * PERIOD)
    assert len(zeros.times) == count
    assert not zeros.guard.beat(time.monotonic())


def test_zeros_go_on_as_long_as_it_takes(zeros: Zeros) -> None:
    zeros.guard.beat(time.monotonic())
    zeros.until(20)
    assert zeros.times[-1] - zeros.times[0] > 18 * PERIOD  # one a period


def test_a_zero_that_waits_does_not_hold_up_the_loop() -> None:
    waits, goes_on = threading.Event(), threading.Event()

    def zero() -> None:
        waits.set()
        assert goes_on.wait(30.0)

    guard = LoopGuard(PERIOD, zero)
    guard.beat(time.monotonic())
    assert waits.wait(30.0)
    assert guard.beat(time.monotonic())
    assert not guard.close(0.0)
    goes_on.set()
    assert guard.close(30.0)
