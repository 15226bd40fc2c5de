import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobile_vla_ros.control.sets import PATIENCE, FrameSets

CAMERAS = ("front", "hand", "rear")
# Stamps in thirty-seconds of a second, of which floats hold every one, so that nothing is a matter of rounding.
GRID = 32.0


@st.composite
def streams(draw: st.DrawFn) -> tuple[int, float, list[tuple[str, float]]]:
    """How many cameras, a tolerance, and frames as they arrive: in order for each camera, mixed between them."""
    count = draw(st.integers(1, 3))
    clocks = dict.fromkeys(CAMERAS[:count], 0)
    frames = []
    for camera, step in draw(st.lists(st.tuples(st.sampled_from(CAMERAS[:count]), st.integers(1, 6)), max_size=25)):
        clocks[camera] += step
        frames.append((camera, clocks[camera] / GRID))
    return count, draw(st.integers(0, 6)) / GRID, frames


@given(streams())
def test_each_set_is_the_freshest_within_the_tolerance_and_none_is_missed(
    stream: tuple[int, float, list[tuple[str, float]]],
) -> None:
    count, tolerance, arriving = stream
    cameras = CAMERAS[:count]
    sets: FrameSets[tuple[str, float]] = FrameSets(cameras, tolerance)
    free: dict[str, list[float]] = {camera: [] for camera in cameras}  # that came, and are newer than the last set
    for camera, stamp in arriving:
        free[camera].append(stamp)
        newest = max(stamp for stamps in free.values() for stamp in stamps)
        possible = [
            chosen
            for chosen in itertools.product(*free.values())
            if max(chosen) - min(chosen) <= tolerance and min(chosen) >= newest - PATIENCE
        ]
        found = sets.add(camera, stamp, (camera, stamp))
        if not possible:
            assert found is None
            continue
        assert found is not None
        assert list(found.frames) == list(cameras)
        assert all(name == frame[0] for name, frame in found.frames.items())
        stamps = [stamp for _, stamp in found.frames.values()]
        assert tuple(stamps) in possible
        assert found.stamp == min(stamps) == max(min(chosen) for chosen in possible)
        for (name, taken), left in zip(found.frames.values(), free.values(), strict=True):
            assert name in cameras
            left[:] = [stamp for stamp in left if stamp > taken]


@given(st.lists(st.integers(1, 50), max_size=20))
def test_with_one_camera_every_frame_is_a_set(steps: list[int]) -> None:
    sets: FrameSets[int] = FrameSets(["camera"], 0.0)
    for number, stamp in enumerate(itertools.accumulate(steps)):
        found = sets.add("camera", stamp / GRID, number)
        assert found is not None
        assert (found.stamp, dict(found.frames)) == (stamp / GRID, {"camera": number})


@pytest.mark.parametrize(("offset", "count"), [(0.0, 10), (0.03, 10), (0.05, 10), (0.06, 0)])
def test_cameras_that_run_beside_each_other_give_a_set_for_each_pair_within_the_tolerance(
    offset: float, count: int
) -> None:
    sets: FrameSets[str] = FrameSets(["front", "hand"], 0.05 + 1e-9)
    found = []
    for number in range(10):
        for camera, stamp in (("front", 0.2 * number), ("hand", 0.2 * number + offset)):
            found.append(sets.add(camera, stamp, camera))
    stamps = [one.stamp for one in found if one is not None]
    assert stamps == pytest.approx([0.2 * number for number in range(count)])  # the oldest of each


def test_a_slow_camera_gets_the_frame_of_the_fast_one_that_fits_although_it_comes_late() -> None:
    sets: FrameSets[float] = FrameSets(["fast", "slow"], 0.02)
    for number in range(10):
        assert sets.add("fast", 1.0 + 0.03 * number, number) is None
    found = sets.add("slow", 1.13, -1.0)
    assert found is not None
    assert dict(found.frames) == {"fast": 4, "slow": -1.0}


def test_after_a_jump_back_of_the_clock_frames_come_together_again() -> None:
    sets: FrameSets[int] = FrameSets(["front", "hand"], 0.05)
    sets.add("front", 500.0, 0)
    sets.add("hand", 500.0, 0)
    sets.add("hand", 500.1, 1)
    assert sets.add("front", 10.0, 2) is None
    found = sets.add("hand", 10.01, 3)
    assert found is not None
    assert (found.stamp, dict(found.frames)) == (10.0, {"front": 2, "hand": 3})


def test_what_waits_in_vain_is_given_up() -> None:
    sets: FrameSets[int] = FrameSets(["front", "hand"], 0.05)
    for number in range(1000):
        assert sets.add("front", 0.1 * number, number) is None
    assert sum(map(len, sets._waiting.values())) <= math.ceil(PATIENCE / 0.1) + 1
