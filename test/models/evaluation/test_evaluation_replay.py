"""Recorded frames reach a policy as on the robot, and recorded commands are looked up at the times it speaks of."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded import CONFIG, NAMES, Numbered, Says, constant, recorded

from mobile_vla_models.data.episode import Signal
from mobile_vla_models.data.windows import gate
from mobile_vla_models.errors import DataError
from mobile_vla_models.evaluation.reference import look_up
from mobile_vla_models.evaluation.replay import read_frames, refusal, replay
from mobile_vla_models.policy import VLAPolicy
from mobile_vla_ros.control.gate import FrameGate


@given(
    st.lists(st.floats(0.0, 0.7), min_size=1, max_size=40),
    st.sampled_from([0.1, 0.2, 0.25]),
)
def test_frames_are_those_that_the_node_would_use(gaps: list[float], dt: float) -> None:
    stamps = np.cumsum(np.array(gaps))
    node, last, expected = FrameGate(dt), -1.0, []
    for row, stamp in enumerate(stamps.tolist()):
        # The controller refuses a frame whose stamp does not advance.
        if stamp > last and node.take(stamp):
            expected.append(row)
        last = max(last, stamp)
    assert gate(stamps, dt).tolist() == expected


def test_a_replay_is_what_the_policy_says_step_by_step(policy: VLAPolicy) -> None:
    episode = recorded(seconds=2.0)
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 255, (24, 32, 3), dtype=np.uint8) for _ in range(20)]

    class Drawn(Numbered):
        def read(self, rows: object) -> list[np.ndarray]:
            return [pictures[row] for row in np.asarray(rows).tolist()]

    camera = Drawn(episode.cameras["front"].stamps, 0)
    frames = read_frames(replace(episode, cameras={"front": camera}), policy.config)
    assert len(frames.stamps) == 10
    replayed = replay(policy, frames, "go to the red box")
    for number, picture in enumerate(pictures[::2]):
        chunk = policy.step(picture, "go to the red box")
        np.testing.assert_array_equal(replayed.continuous[number], chunk.continuous)
        assert replayed.stop is not None
        np.testing.assert_array_equal(replayed.stop[number], chunk.stop)


def test_history_begins_anew_after_a_gap() -> None:
    episode = recorded()
    stamps = episode.cameras["front"].stamps.copy()
    stamps[20:] += 0.7
    policy = constant(0.1, 0.0, 0.0)
    replay(policy, read_frames(replace(episode, cameras={"front": Numbered(stamps, 0)}), CONFIG), "stop")
    assert policy.resets == 3  # at the begin, after the gap, at the end
    with pytest.raises(DataError, match="no camera front among side"):
        read_frames(replace(episode, cameras={"side": Numbered(stamps, 0)}), CONFIG)


def test_a_refusal_is_told_and_only_a_refusal() -> None:
    frames = read_frames(recorded(), CONFIG)
    assert refusal(constant(0.1, 0.0, 0.0), frames, " ") == "an instruction must not be empty"
    assert refusal(constant(0.1, 0.0, 0.0), frames, "stop") is None
    with pytest.raises(ZeroDivisionError):
        refusal(Says(lambda frame, episode, words: 1 // 0), frames, "stop")


def test_commands_are_those_of_the_time() -> None:
    episode = recorded(turn=1.0)
    stamps = np.array([100.0, 100.4, 102.5])
    reference = look_up(episode, stamps, CONFIG)
    np.testing.assert_allclose(reference.continuous[1, :, 1], [0.4, 0.6, 0.8], atol=1e-6)
    np.testing.assert_allclose(reference.continuous[2, :, 0], [0.3, 0.3, 0.0], atol=1e-6)
    assert reference.known.all()
    assert reference.done.tolist() == [False, False, False]
    np.testing.assert_allclose(reference.last, [[0.0, 0.0], [0.3, 0.2], [0.3, 1.0]], atol=1e-6)
    assert reference.done_since == pytest.approx(102.8, abs=0.051)


def test_past_the_end_the_robot_stands_only_if_its_task_was_done() -> None:
    stamps = np.array([103.8])
    finished = look_up(recorded(), stamps, CONFIG)
    assert finished.known.all()
    assert (finished.continuous == 0.0).all()
    assert finished.done.all()
    broken_off = look_up(recorded(finished=False), stamps, CONFIG)
    assert broken_off.known.tolist() == [[True, False, False]]
    assert broken_off.done_since is None
    assert not broken_off.done.any()


def test_what_lies_in_a_silence_is_not_known() -> None:
    episode = recorded(finished=False)
    kept = (episode.actions.stamps < 101.0) | (episode.actions.stamps >= 102.0)
    actions = Signal(NAMES, episode.actions.stamps[kept], episode.actions.values[kept], None)
    reference = look_up(replace(episode, actions=actions), np.array([100.6, 101.2, 102.0]), CONFIG)
    assert reference.known.tolist() == [[True, True, False], [False, False, False], [True, True, True]]
