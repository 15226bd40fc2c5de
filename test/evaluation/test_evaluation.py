"""Closed-loop runs are judged by the true task, and every rate has its interval and its baselines."""

import json
import math

import numpy as np
import pytest

from mobile_vla_models import ActionChunk
from mobile_vla_ros.control import Limits
from mobile_vla_ros.evaluation.baselines import shuffled_instructions
from mobile_vla_ros.evaluation.closed_loop import Rate, Score, outcome_table
from mobile_vla_ros.evaluation.episode import EpisodeResult, run_episode
from mobile_vla_ros.evaluation.swap import SwapPair, sample_swap
from mobile_vla_ros.sim.task import Outcome, Task, TaskKind, edge_gap, episode_rng, sample_episode

LIMITS = Limits(0.0, 0.5, 1.0, 1.0, 3.0, 10.0, 30.0)


class Fixed:
    """A policy that always says the same."""

    def __init__(self, linear_x: float, angular_z: float, stop: float) -> None:
        self._velocity = np.tile(np.array([linear_x, angular_z], np.float32), (8, 1))
        self._stop = np.full(8, stop, np.float32)

    def reset(self) -> None:
        pass

    def step(self, rgb: np.ndarray, instruction: str) -> ActionChunk:
        assert rgb.shape == (120, 160, 3)
        return ActionChunk.of_base(self._velocity, self._stop, 0.2)


def run(policy: Fixed, task: Task, latency: float = 0.1) -> EpisodeResult:
    scene, _ = sample_episode("evaluate", 0, 3)
    return run_episode(policy, 0.2, LIMITS, scene, task, task.instruction, latency)


def test_a_robot_that_says_done_stands_and_has_stopped() -> None:
    result = run(Fixed(0.0, 0.0, 1.0), Task(TaskKind.STOP, "stop"))
    assert result.outcome is Outcome.REACHED
    assert result.seconds == pytest.approx(3.0, abs=0.1)


def test_a_robot_that_drives_on_runs_into_something() -> None:
    result = run(Fixed(0.5, 0.0, 0.0), Task(TaskKind.STOP, "stop"))
    assert result.outcome is Outcome.COLLISION
    assert result.touched is not None


def test_turning_on_and_on_is_no_left_turn() -> None:
    result = run(Fixed(0.0, 0.9, 0.0), Task(TaskKind.TURN_LEFT, "turn left"))
    assert result.outcome is Outcome.TIME_OUT


@pytest.mark.parametrize("latency", [0.07, -0.05])
def test_a_latency_that_the_loop_cannot_keep_is_refused(latency: float) -> None:
    with pytest.raises(ValueError, match="latency"):
        run(Fixed(0.0, 0.0, 1.0), Task(TaskKind.STOP, "stop"), latency)


class Turns:
    """Turns left at 0.9 rad/s until 1.75 s after the first frame, and counts the frames."""

    def __init__(self) -> None:
        self.frames = 0

    def reset(self) -> None:
        pass

    def step(self, rgb: np.ndarray, instruction: str) -> ActionChunk:
        times = 0.2 * (self.frames + np.arange(8))
        self.frames += 1
        velocity = np.stack([np.zeros(8), np.where(times < 1.75, 0.9, 0.0)], axis=1).astype(np.float32)
        return ActionChunk.of_base(velocity, (times >= 1.75).astype(np.float32), 0.2)


@pytest.mark.parametrize("latency", [0.0, 0.1, 0.3, 0.6])
def test_plans_are_looked_up_by_time_however_late_they_come(latency: float) -> None:
    """A late plan loses its past rows: the turn is cut short by the latency, not put off by it."""
    scene, _ = sample_episode("evaluate", 0, 3)
    policy = Turns()
    task = Task(TaskKind.TURN_LEFT, "turn left")
    result = run_episode(policy, 0.2, LIMITS, scene, task, "turn left", latency, time_limit=6.0)
    assert result.outcome is (Outcome.REACHED if latency <= 0.3 else Outcome.TIME_OUT)
    # A frame each 0.2 s until three plans in a row have come that say stop for the moment at which they come.
    assert 11 <= policy.frames <= 13


def test_plans_older_than_the_controller_bears_drive_nothing() -> None:
    result = run(Fixed(0.5, 0.0, 0.0), Task(TaskKind.STOP, "stop"), latency=1.0)
    assert result.outcome is Outcome.REACHED
    assert result.driven == 0.0


def test_a_run_notes_where_it_went_and_where_the_policy_said_done() -> None:
    scene, task = sample_episode("evaluate", 0, 3)
    standing = run_episode(Fixed(0.0, 0.0, 1.0), 0.2, LIMITS, scene, task, task.instruction, 0.1, time_limit=3.0)
    target = next(item for item in scene.objects if item.name == task.target)
    assert standing.said_done
    assert standing.done_gap == pytest.approx(edge_gap(scene.start_pose, target), abs=1e-3)
    assert (standing.driven, standing.path_efficiency) == (0.0, 0.0)
    driving = run_episode(Fixed(0.5, 0.0, 0.0), 0.2, LIMITS, scene, task, task.instruction, 0.1)
    assert not driving.said_done
    assert driving.done_gap is None
    steps = np.linalg.norm(np.diff(np.array(driving.path), axis=0), axis=1)
    assert driving.driven == pytest.approx(steps.sum(), abs=0.01)
    assert driving.driven > 0.5


def test_a_path_counts_by_how_much_longer_it_is_than_needed() -> None:
    good = result(Outcome.REACHED, driven=2.0, free=1.0)
    short = result(Outcome.REACHED, driven=0.8, free=1.0)
    failed = result(Outcome.COLLISION, driven=1.0, free=1.0)
    near = result(Outcome.REACHED, driven=0.1, free=0.05)
    assert [one.path_efficiency for one in (good, short, failed, near)] == [0.5, 1.0, 0.0, None]
    spl = Score("policy", 0.1, (good, short, failed, near)).spl
    assert spl is not None
    assert spl[0] == pytest.approx(0.5)
    assert spl[1] < 0.5 < spl[2]


def test_shuffled_instructions_never_mean_the_same() -> None:
    tasks = [sample_episode("evaluate", 0, index)[1] for index in range(20)]
    said = shuffled_instructions(tasks, np.random.default_rng(0))
    meaning = {task.instruction: (task.kind, task.target) for task in tasks}
    assert all(meaning[text] != (task.kind, task.target) for text, task in zip(said, tasks, strict=True))


def test_tasks_that_all_mean_the_same_cannot_be_shuffled() -> None:
    with pytest.raises(ValueError, match="mean the same"):
        shuffled_instructions([Task(TaskKind.STOP, "stop"), Task(TaskKind.STOP, "halt")], np.random.default_rng(0))


def test_swap_starts_show_two_objects_that_are_not_reached() -> None:
    scene, (first, second) = sample_swap(episode_rng("swap", 0, 0))
    names = {item.name for item in scene.objects}
    assert first != second
    assert {first, second} <= names
    assert -math.pi <= scene.start_pose.yaw <= math.pi


def result(
    outcome: Outcome,
    at: tuple[str, ...] = (),
    target: str = "red box",
    driven: float = 1.5,
    free: float = 1.2,
    done_gap: float | None = None,
) -> EpisodeResult:
    said, path = f"go to the {target}", ((0.0, 0.0), (1.0, 0.5))
    return EpisodeResult(
        "go_to", said, target, outcome, at, None, 5.0, done_gap is not None, done_gap, driven, free, path
    )


def test_scores_add_up() -> None:
    outcomes = [Outcome.REACHED] * 3 + [Outcome.WRONG_OBJECT, Outcome.COLLISION, Outcome.TIME_OUT]
    gaps = [0.4, 0.6, None, 1.5, None, None]
    score = Score("policy", 0.1, tuple(result(o, done_gap=gap) for o, gap in zip(outcomes, gaps, strict=True)))
    document = score.to_dict()
    assert document["success"]["share"] == 0.5
    shares = [document[name]["share"] for name in ("success", "wrong_object", "collision", "time_out")]
    assert sum(shares) == pytest.approx(1.0)
    assert score.stops == Rate(2, 6)
    assert "path" not in document["results"][0]
    json.dumps(document, allow_nan=False)


def test_outcomes_are_paired_by_task() -> None:
    yes, no = result(Outcome.REACHED), result(Outcome.TIME_OUT)
    first, second = Score("a", 0.1, (yes, yes, no, no)), Score("b", 0.1, (yes, no, no, no))
    assert outcome_table(first, second) == (1, 1, 0, 2)
    other = Score("c", 0.1, (yes, yes, no, result(Outcome.REACHED, target="blue ball")))
    with pytest.raises(ValueError, match="same tasks"):
        outcome_table(first, other)


def test_a_pair_counts_as_changed_only_if_both_runs_end_at_different_objects() -> None:
    red = result(Outcome.REACHED, ("red box",))
    blue = result(Outcome.REACHED, ("blue ball",), "blue ball")
    wrong = result(Outcome.WRONG_OBJECT, ("red box",), "blue ball")
    lost = result(Outcome.TIME_OUT, (), "blue ball")
    pairs = [SwapPair(red, blue), SwapPair(red, wrong), SwapPair(red, lost)]
    assert [pair.changed for pair in pairs] == [True, False, False]
    assert [pair.both_right for pair in pairs] == [True, False, False]
