import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mobile_vla_models.images import AS_SAID
from mobile_vla_ros.control import ActionPlan, Command, DriveState
from mobile_vla_ros.overlay import Camera, LiveOverlay, Moment
from mobile_vla_ros.overlay.draw import STATES
from mobile_vla_ros.overlay.live import fitted, told

WAIT = 30.0  # s at most
CAMERA = Camera(height=0.3, pitch=0.1, fov=1.5)
PLAN = ActionPlan(100.0, 0.2, np.array([[0.1, 0.0], [0.2, 0.1], [0.3, 0.2]]), np.zeros(3), 1)


def frame(number: int = 0, size: tuple[int, int] = (120, 160), encoding: str = "rgb8") -> Any:
    height, width = size
    return SimpleNamespace(
        number=number, encoding=encoding, height=height, width=width, step=3 * width, data=bytes(3 * height * width)
    )


def moment(message: Any) -> Moment:
    return Moment(message, Command(0.4, 0.2, DriveState.DRIVING, ""), "go to the box", PLAN, 100.1, 0.25)


class Screen:
    """What is published; `gate` holds it back."""

    def __init__(self) -> None:
        self.shown: list[tuple[NDArray[np.uint8], Any]] = []
        self.failures: list[str] = []
        self.threads: set[threading.Thread] = set()
        self.gate = threading.Event()
        self.gate.set()

    def publish(self, rgb: NDArray[np.uint8], message: Any) -> None:
        self.threads.add(threading.current_thread())
        self.shown.append((rgb, message))
        assert self.gate.wait(WAIT)


@pytest.fixture
def screen() -> Screen:
    return Screen()


@pytest.fixture
def overlay(screen: Screen) -> Iterator[LiveOverlay]:
    overlay = LiveOverlay(CAMERA, 0.4, AS_SAID, screen.publish, screen.failures.append)
    yield overlay
    screen.gate.set()
    assert overlay.close(WAIT)


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_the_newest_moment_is_drawn_in_another_thread_and_older_ones_are_dropped(
    overlay: LiveOverlay, screen: Screen
) -> None:
    screen.gate.clear()
    overlay.show(moment(frame(0)))
    wait_until(lambda: len(screen.shown) == 1)
    for number in range(1, 6):
        overlay.show(moment(frame(number)))  # it does not wait for the drawing that is stuck
    screen.gate.set()
    wait_until(lambda: len(screen.shown) == 2)
    assert [message.number for _, message in screen.shown] == [0, 5]
    assert threading.current_thread() not in screen.threads
    rgb = screen.shown[1][0]
    assert (rgb.dtype, rgb.shape[1]) == (np.uint8, 320)
    assert (rgb == STATES["driving"]).all(axis=2).any()


def test_what_cannot_be_drawn_is_told_once_and_it_goes_on(overlay: LiveOverlay, screen: Screen) -> None:
    overlay.show(moment(frame(0, encoding="32FC1")))
    wait_until(lambda: len(screen.failures) == 1)
    broken = replace(moment(frame(1)), command=Command(float("nan"), 0.0, DriveState.DRIVING, ""))
    overlay.show(broken)
    time.sleep(0.3)
    overlay.show(moment(frame(2)))
    wait_until(lambda: bool(screen.shown))
    assert [message.number for _, message in screen.shown] == [2]
    (failure,) = screen.failures
    assert "32FC1" in failure


def test_a_drawing_that_is_stuck_does_not_hold_closing_back(overlay: LiveOverlay, screen: Screen) -> None:
    screen.gate.clear()
    overlay.show(moment(frame()))
    wait_until(lambda: len(screen.shown) == 1)
    assert not overlay.close(0.05)


@pytest.mark.parametrize(
    ("size", "expected"),
    [((120, 160), (120, 160)), ((121, 161), (240, 320)), ((480, 640), (240, 320)), ((1080, 1920), (180, 320))],
)
def test_a_picture_is_made_small_enough_to_be_sent_without_waiting(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert fitted(np.zeros((*size, 3), np.uint8)).shape == (*expected, 3)


@pytest.mark.parametrize(
    ("now", "rows"),
    [
        (100.0, [[0.1, 0.0], [0.2, 0.1], [0.3, 0.2]]),
        (100.1, [[0.15, 0.05], [0.25, 0.15]]),
        (100.4, [[0.3, 0.2]]),
        (100.5, []),
    ],
)
def test_what_is_left_of_the_plan_is_told(now: float, rows: list[list[float]]) -> None:
    drive = told(replace(moment(frame()), now=now))
    np.testing.assert_allclose(drive.plan, np.reshape(rows, (-1, 2)), atol=1e-9)
    assert (drive.dt, drive.state, drive.stop, drive.linear_x) == (0.2, "driving", 0.25, 0.4)


def test_without_a_plan_none_is_told() -> None:
    standing = replace(moment(frame()), plan=None, command=Command(0.0, 0.0, DriveState.STOPPED, "camera: silent"))
    drive = told(standing)
    assert (drive.plan.shape, drive.state, drive.reason) == ((0, 2), "stopped", "camera: silent")
