"""Closed-loop runs are judged by the true task, and every rate has its interval and its baselines."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from mobile_vla_models import ActionChunk
from mobile_vla_ros.control import Limits
from mobile_vla_ros.evaluation.baselines import shuffled_instructions
from mobile_vla_ros.evaluation.card import write_card
from mobile_vla_ros.evaluation.closed_loop import Score
from mobile_vla_ros.evaluation.episode import EpisodeResult, run_episode
from mobile_vla_ros.evaluation.report import score_table, swap_table, write_json
from mobile_vla_ros.evaluation.statistics import wilson_interval
from mobile_vla_ros.evaluation.swap import SwapPair, sample_swap
from mobile_vla_ros.sim.task import Outcome, Task, TaskKind, episode_rng, sample_episode

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


def test_wilson_interval_is_the_textbooks() -> None:
    low, high = wilson_interval(80, 100)
    assert (round(low, 4), round(high, 4)) == (0.7112, 0.8666)
    assert wilson_interval(0, 10)[0] == 0.0
    assert wilson_interval(10, 10)[1] == 1.0


@pytest.mark.parametrize(("successes", "trials"), [(1, 0), (-1, 5), (6, 5)])
def test_no_proportion_no_interval(successes: int, trials: int) -> None:
    with pytest.raises(ValueError, match="no proportion"):
        wilson_interval(successes, trials)


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


@pytest.mark.parametrize("latency", [0.2, 0.07, -0.05])
def test_a_latency_that_the_loop_cannot_keep_is_refused(latency: float) -> None:
    with pytest.raises(ValueError, match="latency"):
        run(Fixed(0.0, 0.0, 1.0), Task(TaskKind.STOP, "stop"), latency)


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


def result(outcome: Outcome, at: tuple[str, ...] = (), target: str = "red box") -> EpisodeResult:
    return EpisodeResult("go_to", f"go to the {target}", target, outcome, at, None, 5.0)


def test_scores_add_up_and_are_written_whole(tmp_path: Path) -> None:
    outcomes = [Outcome.REACHED] * 3 + [Outcome.WRONG_OBJECT, Outcome.COLLISION, Outcome.TIME_OUT]
    score = Score("policy", tuple(result(outcome) for outcome in outcomes))
    document = score.to_dict()
    assert document["success"] == 0.5
    assert sum(document[name] for name in ("success", "wrong_object", "collision", "time_out")) == pytest.approx(1.0)
    assert score_table([score]).row_count == 1
    write_json(tmp_path / "new" / "result.json", {"closed_loop": [document]})
    assert json.loads((tmp_path / "new" / "result.json").read_text())["closed_loop"][0]["episodes"] == 6


def test_a_pair_counts_as_changed_only_if_both_runs_end_at_different_objects() -> None:
    red = result(Outcome.REACHED, ("red box",))
    blue = result(Outcome.REACHED, ("blue ball",), "blue ball")
    wrong = result(Outcome.WRONG_OBJECT, ("red box",), "blue ball")
    lost = result(Outcome.TIME_OUT, (), "blue ball")
    pairs = [SwapPair(red, blue), SwapPair(red, wrong), SwapPair(red, lost)]
    assert [pair.changed for pair in pairs] == [True, False, False]
    assert [pair.both_right for pair in pairs] == [True, False, False]
    assert swap_table(pairs).row_count == 2


def test_scores_replace_older_ones_in_the_model_card(tmp_path: Path) -> None:
    card = tmp_path / "README.md"
    card.write_text("# A policy\n")
    bad, good = (Score("policy", (result(o), result(o))) for o in (Outcome.TIME_OUT, Outcome.REACHED))
    write_card(tmp_path, "mobile-vla evaluate", [bad], [])
    write_card(tmp_path, "mobile-vla evaluate", [good], [])
    text = card.read_text()
    assert text.startswith("# A policy\n")
    assert "| policy | 100 % | 34 to 100 % | 0 % | 0 % | 0 % | 5.0 s |" in text
    assert text.count("What it scored") == 1
