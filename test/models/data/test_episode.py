"""What an episode must be, and when it is done."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from runs import MemoryPictures, noise

from mobile_vla_models import DataError
from mobile_vla_models.data.episode import Episode, Signal
from mobile_vla_models.data.instants import after, nanoseconds, seconds, since, steps
from mobile_vla_models.data.rows import answering, measured, nearest

NAMES = ("linear_x", "angular_z")
TIMES = np.array([0.0, 0.1, 0.2])
VALUES = np.array([[0.1, 0.0], [0.2, -0.5], [0.0, 0.0]], np.float32)
GOOD = Signal(NAMES, TIMES, VALUES, None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stamps": np.array([0.0, 0.2, 0.1])}, r"stamps go back from 0\.200000 s to 0\.100000 s, 1 times"),
        ({"stamps": TIMES[:2]}, r"float32 \(3, 2\), expected float32 \(2, 2\)"),
        ({"stamps": np.array([0.0, np.nan, 0.2])}, "not finite, number 1"),
        ({"stamps": TIMES.astype(np.float32)}, "float32"),
        ({"values": VALUES.astype(np.float64)}, "float64"),
        ({"values": np.where(VALUES == -0.5, np.nan, VALUES).astype(np.float32)}, r"angular_z is nan at 0\.100 s"),
        ({"names": ("linear_x", "linear_x")}, "must differ"),
        ({"received": TIMES[:2]}, r"receive times are float64 \(2,\)"),
    ],
)
def test_a_signal_that_is_none_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        replace(GOOD, **change)


def test_columns_are_taken_by_name() -> None:
    np.testing.assert_array_equal(GOOD.columns(["angular_z", "linear_x"]), VALUES[:, ::-1])
    with pytest.raises(DataError, match="no linear_y among linear_x, angular_z"):
        GOOD.columns(["linear_y"])


def test_a_part_of_a_signal_excludes_its_end() -> None:
    part = replace(GOOD, received=TIMES + 0.5).between(0.1, 0.2)
    assert part.stamps.tolist() == [0.1]
    assert part.received is not None
    assert part.received.tolist() == [0.6]


def episode(values: np.ndarray) -> Episode:
    pictures = MemoryPictures(noise(3), TIMES, None)
    return Episode("run#1", "stop", {"front": pictures}, Signal(NAMES, TIMES, values, None), None, -0.5, 0.3)


def test_an_episode_is_done_from_its_first_lasting_zero() -> None:
    assert episode(VALUES).done_since == 0.2
    assert episode(VALUES[[2, 1, 0]]).done_since == 0.3, "the last command moves: never"
    assert episode(VALUES[[2, 2, 2]]).done_since == -0.5, "it never moved: always"


def test_an_episode_belongs_to_its_recording() -> None:
    assert episode(VALUES).recording == "run"


def test_an_episode_that_is_none_is_refused() -> None:
    with pytest.raises(DataError, match="run#1: no camera"):
        replace(episode(VALUES), cameras={})
    with pytest.raises(DataError, match=r"begins at 0\.3 s and ends at 0\.3 s"):
        replace(episode(VALUES), begin=0.3)


@given(st.lists(st.integers(0, 4 * 10**18), min_size=1, max_size=5))
def test_times_keep_their_value_through_nanoseconds(times: list[int]) -> None:
    once = seconds(np.array(times, dtype=np.int64))
    np.testing.assert_array_equal(seconds(nanoseconds(once)), once)
    np.testing.assert_allclose(once, np.array(times) / 1e9, rtol=1e-15)


@given(st.integers(0, 4 * 10**18), st.lists(st.integers(-(10**12), 10**12), min_size=1, max_size=5))
def test_times_keep_their_value_through_a_begin(begin: int, elapsed: list[int]) -> None:
    times = seconds(np.maximum(0, begin + np.array(elapsed, dtype=np.int64)))
    origin = float(seconds(np.array([begin]))[0])
    np.testing.assert_array_equal(after(origin, since(origin, times)), times)
    np.testing.assert_allclose(since(origin, times), times - origin, atol=2e-9)


def test_times_of_a_step_are_exact_to_the_nanosecond() -> None:
    assert steps(4, 0.1).tolist() == [0.0, 0.1, 0.2, 0.3]


def test_a_frame_is_answered_by_the_first_command_from_its_stamp_on() -> None:
    assert answering(GOOD, np.array([-1.0, 0.0, 0.05, 0.1, 0.2, 0.3])).tolist() == [0, 0, 1, 1, 2, 2]


def test_what_is_measured_at_a_frame_is_never_of_later() -> None:
    assert measured(GOOD, np.array([-1.0, 0.0, 0.05, 0.1, 0.3])).tolist() == [0, 0, 0, 1, 2]


def test_the_nearest_frame_of_another_camera() -> None:
    assert nearest(TIMES, np.array([-1.0, 0.04, 0.05, 0.06, 0.16, 9.0])).tolist() == [0, 0, 0, 1, 2, 2]
    assert nearest(TIMES[:1], np.array([-1.0, 9.0])).tolist() == [0, 0]
