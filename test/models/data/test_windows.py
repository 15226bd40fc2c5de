"""Frames at the policy's dt, the commands that followed, and histories that are those of the robot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tiny import tiny_document

from mobile_vla_models import DataError
from mobile_vla_models.configuration import PolicyConfig
from mobile_vla_models.data.balance import BalanceConfig, balance_weights, motion_kinds
from mobile_vla_models.data.episode import Episode, Signal
from mobile_vla_models.data.windows import counted, gate, history, label_chunks, lay_out
from mobile_vla_ros.control.gate import FrameGate

STAMPS = np.arange(8) * 0.2


def config(**changes: Any) -> PolicyConfig:
    return PolicyConfig.model_validate({**tiny_document(), **changes})


CONFIG = config()


@dataclass(frozen=True, eq=False)
class Unread:
    stamps: NDArray[np.float64]
    received: None = None

    def read(self, rows: Sequence[int] | NDArray[np.int64]) -> list[NDArray[np.uint8]]:
        raise AssertionError("labels need no pictures")


def episode(
    commands: Sequence[tuple[float, ...]],
    end: float,
    at: NDArray[np.float64] | None = None,
    stamps: NDArray[np.float64] = STAMPS,
    names: tuple[str, ...] = ("linear_x", "angular_z"),
) -> Episode:
    values = np.array(commands, np.float32)
    actions = Signal(names, STAMPS[: len(commands)] if at is None else at, values, None)
    return Episode("test#0", "turn left", {"front": Unread(stamps)}, actions, None, 0.0, end)


def test_a_finished_episode_is_done_from_its_first_lasting_zero() -> None:
    run = episode([(0.0, 0.0), (0.5, 0.0), (0.5, 0.1), (0.0, 0.0), (0.0, 0.0)], end=1.0)
    labels = label_chunks(run, STAMPS[:5], CONFIG)
    np.testing.assert_array_equal(labels.binary[:, 0, 0], [0, 0, 0, 1, 1])
    np.testing.assert_allclose(labels.continuous[1], [(0.5, 0.0), (0.5, 0.1), (0.0, 0.0)], atol=1e-7)


def test_past_its_end_an_episode_is_unknown_and_not_still() -> None:
    for last in (0.5, 0.0):
        labels = label_chunks(episode([(0.5, 0.0), (0.5, 0.0), (last, 0.0)], end=0.6), STAMPS[:3], CONFIG)
        np.testing.assert_array_equal(labels.mask, [[1, 1, 1], [1, 1, 0], [1, 0, 0]])
    assert label_chunks(episode([(0.5, 0.0)] * 3, end=0.6), STAMPS[:3], CONFIG).binary.sum() == 0


def test_commands_are_interpolated_in_time() -> None:
    at = np.array([0.0, 0.1, 0.3, 0.5, 0.7])
    run = episode([(t, -2.0 * t) for t in at], end=0.9, at=at)
    labels = label_chunks(run, np.array([0.05, 0.17]), CONFIG)
    expected = np.array([[0.05, 0.25, 0.45], [0.17, 0.37, 0.57]])
    np.testing.assert_allclose(labels.continuous[..., 0], expected, atol=1e-6)
    np.testing.assert_allclose(labels.continuous[..., 1], -2.0 * expected, atol=1e-6)
    assert labels.mask.all()


def test_a_gap_of_the_commands_is_masked_and_its_ends_are_not() -> None:
    at = np.array([0.0, 0.2, 0.4, 1.4, 1.6])
    run = episode([(0.3, 0.0)] * 5, end=1.8, at=at)
    labels = label_chunks(run, np.array([0.0, 0.4, 1.0, 1.4]), config(chunk=2))
    np.testing.assert_array_equal(labels.mask, [[1, 1], [1, 0], [0, 0], [1, 1]])


def test_a_binary_action_of_the_commands_is_in_force_until_the_next() -> None:
    spec: Any = tiny_document()["action"]
    gripper = config(action={**spec, "binary": ["stop", "grip"]}, chunk=2)
    names = ("linear_x", "angular_z", "grip")
    run = episode([(0.1, 0.0, 0.0), (0.1, 0.0, 1.0), (0.1, 0.0, 0.0)], 0.6, names=names)
    labels = label_chunks(run, np.array([0.0, 0.1, 0.3]), gripper)
    np.testing.assert_array_equal(labels.binary[..., 1], [[0, 1], [0, 1], [1, 0]])
    with pytest.raises(DataError, match=r"grip is 0\.5"):
        label_chunks(episode([(0.1, 0.0, 0.5)] * 3, 0.6, names=names), STAMPS[:1], gripper)


@given(
    st.lists(st.floats(0.001, 0.5), min_size=1, max_size=60),
    st.floats(0.05, 0.5),
    st.floats(0.0, 1.7e9),
)
def test_the_frames_are_those_that_the_robot_takes(steps: list[float], dt: float, begin: float) -> None:
    stamps = begin + np.cumsum(steps)
    robot = FrameGate(dt)
    np.testing.assert_array_equal(gate(stamps, dt), [row for row, stamp in enumerate(stamps) if robot.take(stamp)])


def test_frames_between_those_that_a_policy_sees_are_skipped_by_stamp() -> None:
    np.testing.assert_array_equal(gate(STAMPS, 0.4), [0, 2, 4, 6])
    np.testing.assert_array_equal(gate(np.array([0.0, 0.1, 0.3999, 0.5, 0.79, 0.81]), 0.4), [0, 2, 4])
    assert gate(STAMPS[:0], 0.4).shape == (0,)


def test_a_gap_of_the_camera_begins_a_new_history() -> None:
    ticks = np.delete(np.arange(24), [7, 8, 9])
    found = lay_out(episode([(0.1, 0.0)] * 13, 2.6, at=np.arange(13) * 0.2, stamps=ticks * 0.1), CONFIG)
    np.testing.assert_allclose(found.stamps, [0.0, 0.2, 0.4, 0.6, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.2])
    np.testing.assert_array_equal(found.starts, [0] * 4 + [4] * 7)


def test_a_frame_within_half_a_period_of_its_time_is_no_gap() -> None:
    late = np.arange(12) * 0.1 + np.where(np.arange(12) == 4, 0.045, 0.0)
    found = lay_out(episode([(0.1, 0.0)] * 8, 1.6, stamps=late), CONFIG)
    np.testing.assert_array_equal(found.starts, 0)


def test_a_frame_without_its_companion_is_none() -> None:
    two = config(cameras=["front", "back"], prompt="<s>{front}{back}{instruction}</s>{action}")
    run = episode([(0.1, 0.0)] * 8, 1.6)
    back = Unread(np.delete(STAMPS + 0.05, 3))
    found = lay_out(replace(run, cameras={"front": Unread(STAMPS), "back": back}), two)
    np.testing.assert_array_equal(found.rows, [[0, 0], [1, 1], [2, 2], [4, 3], [5, 4], [6, 5], [7, 6]])
    np.testing.assert_array_equal(found.starts, [0, 0, 0, 3, 3, 3, 3])


def test_the_state_is_the_newest_measurement() -> None:
    state = [{"name": name, "unit": "1", "mean": 0.0, "std": 1.0} for name in ("angular_z", "linear_x")]
    moving = config(state=state, prompt="<s>{front}{instruction}{state}</s>{action}")
    run = episode([(0.1, 0.0)] * 8, 1.6)
    with pytest.raises(DataError, match="no odometry"):
        lay_out(run, moving)
    odometry = Signal(
        ("linear_x", "linear_y", "angular_z"), STAMPS + 0.01, np.arange(24, dtype=np.float32).reshape(8, 3), None
    )
    found = lay_out(replace(run, odometry=odometry), moving)
    np.testing.assert_array_equal(found.state[:3], [[2, 0], [2, 0], [5, 3]])


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (replace(episode([(0.1, 0.0)] * 8, 1.6), cameras={"rear": Unread(STAMPS)}), "no camera 'front'; it has rear"),
        (episode([(0.1,)] * 8, 1.6, names=("linear_x",)), "test#0: no angular_z"),
        (episode([(0.1, 0.0)] * 8, 9.0, stamps=STAMPS * 4), r"a frame every 0\.800 s, the policy takes one every 0\.2"),
    ],
)
def test_what_an_episode_lacks_is_named(run: Episode, message: str) -> None:
    with pytest.raises(DataError, match=message):
        lay_out(run, CONFIG)


def test_histories_begin_with_their_run_and_never_cross_into_another() -> None:
    starts = np.array([0, 0, 0, 3, 3, 3, 3, 3, 3, 3])
    rows = history(starts, np.array([0, 2, 3, 9]), window=4)
    np.testing.assert_array_equal(rows, [[0, -1, -1, -1], [0, 1, 2, -1], [3, -1, -1, -1], [6, 7, 8, 9]])


def test_what_the_robot_would_never_use_does_not_count() -> None:
    starts, mask = np.zeros(6, np.int64), np.ones((6, 2), bool)
    mask[5, 1] = False
    rows = history(starts, np.array([2, 5]), window=4)
    counts = counted(starts, rows, mask, newest_only=False)
    np.testing.assert_array_equal(counts[0], [[1, 1], [1, 1], [1, 1], [0, 0]])
    np.testing.assert_array_equal(counts[1], [[0, 0], [0, 0], [0, 0], [1, 0]])
    newest = counted(starts, rows, mask, newest_only=True)
    np.testing.assert_array_equal(newest[0], [[0, 0], [0, 0], [1, 1], [0, 0]])


def test_kinds_of_motion_are_drawn_as_often_as_configured() -> None:
    velocity = np.array([(0, 0), (0.3, 0.5), (0.3, -0.5), (0.3, 0.0), (0.3, 0.0), (0.3, 0.01)], np.float32)
    kinds = motion_kinds(velocity, ("linear_x", "angular_z"))
    np.testing.assert_array_equal(kinds, [0, 1, 2, 3, 3, 3])
    weights = balance_weights(kinds, BalanceConfig(standing=0.1, turning_left=0.2, turning_right=0.1, driving=0.6))
    np.testing.assert_allclose(weights, [0.1, 0.2, 0.1, 0.2, 0.2, 0.2])
    lefts = BalanceConfig(standing=0.0, turning_left=1.0, turning_right=0.0, driving=0.0)
    with pytest.raises(DataError, match="balance draws"):
        balance_weights(kinds[3:], lefts)
    with pytest.raises(ValueError, match="sum up to 2"):
        BalanceConfig(standing=1.0, turning_left=1.0, turning_right=0.0, driving=0.0)
