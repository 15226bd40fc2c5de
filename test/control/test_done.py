import pytest

from mobile_vla_ros.control.done import DoneDetector

DT = 0.2


def fed(*probabilities: float, dt: float = DT) -> list[bool]:
    detector = DoneDetector(threshold=0.5, release=0.3, dwell=0.4, dt=DT)
    return [detector.done(probability, 100.0 + number * dt) for number, probability in enumerate(probabilities)]


@pytest.mark.parametrize(
    ("probabilities", "done"),
    [
        ((0.5, 0.5, 0.5), [False, False, True]),  # three steps: the dwell
        ((0.9, 0.9), [False, False]),
        ((0.9, 0.4, 0.9), [False, False, True]),  # between the thresholds: it goes on
        ((0.9, 0.9, 0.4), [False, False, False]),  # but is not completed there
        ((0.9, 0.2, 0.9, 0.9), [False, False, False, False]),  # released: begins anew
        ((0.49, 0.49, 0.49, 0.49), [False] * 4),
    ],
)
def test_it_takes_threshold_and_dwell(probabilities: tuple[float, ...], done: list[bool]) -> None:
    assert fed(*probabilities) == done


def test_stamps_of_a_real_camera_may_come_short_of_the_dwell() -> None:
    assert fed(1.0, 1.0, 1.0, dt=0.19) == [False, False, True]
    assert fed(1.0, 1.0, 1.0, 1.0, 1.0, dt=0.11) == [False, False, False, True, True]


def test_it_begins_anew() -> None:
    detector = DoneDetector(0.5, 0.3, 0.4, DT)
    detector.done(1.0, 0.0)
    detector.clear()
    assert not detector.done(1.0, 0.4)


def test_no_dwell_is_the_first_plan() -> None:
    assert DoneDetector(0.5, 0.3, 0.0, DT).done(0.5, 0.0)
