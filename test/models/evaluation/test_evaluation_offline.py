"""A figure flatters nobody: the expert has no error, a constant no skill, and a deaf policy is found out."""

import math

import numpy as np
import pytest
from recorded import CONFIG, Says, constant, expert, recorded

from mobile_vla_models.data.episode import Episode
from mobile_vla_models.errors import DataError
from mobile_vla_models.evaluation.figures import CONSTANT, Figure, Ratio
from mobile_vla_models.evaluation.measure import confirmed, integrate
from mobile_vla_models.evaluation.offline import EMPTY, PARAPHRASED, SHUFFLED, SWAPPED, Offline, evaluate_episodes


@pytest.fixture
def episodes() -> list[Episode]:
    sentences = ("go to the red box", "turn left", "turn right", "drive to the blue ball")
    turns = (0.3, 0.9, -0.9, -0.2)
    return [
        recorded(number, sentence, turn, seconds=3.0 + 0.4 * number, begin=100.0 * number)
        for number, (sentence, turn) in enumerate(zip(sentences, turns, strict=True))
    ]


def figure(report: Offline, name: str) -> Figure:
    return next(found for found in report.figures if found.name == name)


def test_the_expert_makes_no_error(episodes: list[Episode]) -> None:
    report = evaluate_episodes(expert(episodes), episodes)
    for found in report.figures:
        best = 0.0 if found.is_error else 1.0
        assert found.policy.value == pytest.approx(best, abs=1e-6), found.name
        assert all(ratio.value is not None for ratio in found.baselines.values()), found.name
    assert report.stop is not None
    assert report.stop["policy"][0, 1] == report.stop["policy"][1, 0] == 0.0
    assert report.delays is not None
    assert report.delays["policy"].missed == 0
    assert all(0.3 < delay <= 0.6 for delay in report.delays["policy"].seconds)


def test_no_constant_has_skill(episodes: list[Episode]) -> None:
    commands = np.concatenate([episode.actions.values for episode in episodes])
    for velocity in (commands.mean(axis=0), np.median(commands, axis=0), (0.3, 0.9), (0.0, 0.0)):
        report = evaluate_episodes(constant(float(velocity[0]), float(velocity[1]), 1.0), episodes)
        for found in report.figures:
            skill = found.skill(report.counts)
            assert skill is None or skill[0] <= 0.02, (found.name, velocity)
            own, best = found.policy.value, found.baselines[CONSTANT].value
            assert own is not None
            assert best is not None
            assert best <= own + 0.002 if found.is_error else best >= own, (found.name, velocity)


def test_errors_are_in_the_units_of_the_action(episodes: list[Episode]) -> None:
    truth = expert(episodes)

    def off(frame: int, episode: int, words: str) -> tuple[np.ndarray, np.ndarray]:
        velocity, stop = truth._answer(frame, episode, words)
        return velocity + np.array([0.1, -0.2]), stop

    report = evaluate_episodes(Says(off), episodes)
    for name, size, unit in (("linear_x", 0.1, "m/s"), ("angular_z", 0.2, "rad/s")):
        for kind in (f"MAE {name}, first step", f"MAE {name}, chunk", f"RMSE {name}, chunk"):
            found = figure(report, kind)
            assert found.policy.value == pytest.approx(size, abs=1e-6)
            assert found.unit == unit
        assert report.horizon[name]["policy"] == pytest.approx([size] * CONFIG.chunk, abs=1e-6)
    low, high = figure(report, "MAE linear_x, chunk").interval(report.counts) or (0.0, 0.0)
    assert low == pytest.approx(high)


def test_a_late_stop_is_counted_late_and_a_missing_one_missing(episodes: list[Episode]) -> None:
    truth = expert(episodes)

    def late(frame: int, episode: int, words: str) -> tuple[np.ndarray, np.ndarray]:
        velocity, _ = truth._answer(frame, episode, words)
        done = truth._answer(max(0, frame - 4), episode, words)[1]
        return velocity, done if episode != 1 else np.zeros(CONFIG.chunk)

    prompt, report = evaluate_episodes(truth, episodes), evaluate_episodes(Says(late), episodes)
    assert prompt.delays is not None
    assert report.delays is not None
    assert report.delays["policy"].missed == 1
    expected = [delay + 0.4 for row, delay in enumerate(prompt.delays["policy"].seconds) if row != 1]
    assert report.delays["policy"].seconds == pytest.approx(expected)
    assert figure(report, "stop precision").policy.value == 1.0
    recall = figure(report, "stop recall").policy.value
    assert recall is not None
    assert 0.3 < recall < 0.7


def test_a_policy_that_never_says_done_has_stop_figures_too(episodes: list[Episode]) -> None:
    report = evaluate_episodes(constant(0.1, 0.0, 0.0), episodes)
    assert figure(report, "stop recall").policy.value == 0.0
    assert figure(report, "stop precision").policy.value is None
    assert report.delays is not None
    assert report.delays["policy"].missed == len(episodes)


def test_a_deaf_policy_does_not_change(episodes: list[Episode]) -> None:
    report = evaluate_episodes(expert(episodes), episodes)
    for kind in (SWAPPED, SHUFFLED, EMPTY, PARAPHRASED):
        found = report.sensitivity[kind]
        assert found is not None
        assert [ratio.value for ratio in found.changed.values()] == [0.0, 0.0]
        assert all((ratio.value or 0.0) > 0.0 for ratio in found.spread.values())
    assert "refused (an instruction must not be empty); '.'" in report.empty


def test_a_policy_that_hears_sides_turns_to_them(episodes: list[Episode]) -> None:
    def obeys(frame: int, episode: int, words: str) -> tuple[np.ndarray, np.ndarray]:
        turn = 0.5 if "left" in words else -0.5 if "right" in words else 0.0
        return np.tile([0.2, turn], (CONFIG.chunk, 1)), np.zeros(CONFIG.chunk)

    report = evaluate_episodes(Says(obeys), episodes)
    other, same = report.sensitivity[SWAPPED], report.sensitivity[PARAPHRASED]
    assert other is not None
    assert same is not None
    assert other.to_side is not None
    assert other.to_side.value == 1.0
    assert other.changed["linear_x"].value == 0.0
    assert (other.changed["angular_z"].value or 0.0) > 0.2
    assert (other.error["angular_z"].value or 0.0) > (other.own_error["angular_z"].value or 0.0)
    assert same.changed["angular_z"].value == 0.0


def test_an_interval_is_of_episodes_and_not_of_frames() -> None:
    alike = Ratio(np.full(20, 2.0), np.full(20, 4.0))
    counts = np.random.default_rng(0).multinomial(20, np.full(20, 0.05), size=100).astype(float)
    assert np.allclose(alike.resampled(counts), 0.5)
    one_long = Ratio(np.r_[100.0, np.zeros(19)], np.r_[100.0, np.ones(19)])
    spread = one_long.resampled(counts)
    assert spread.min() == 0.0
    assert spread.max() > 0.9
    assert Ratio(np.zeros(2), np.zeros(2)).value is None
    assert Ratio(np.full(2, 8.0), np.full(2, 2.0), root=True).value == 2.0


def test_paths_are_arcs() -> None:
    quarter = np.tile(np.array([0.5, math.pi / 2 / 2.0], np.float32), (1, 20, 1))
    place = integrate(quarter, ("linear_x", "angular_z"), 0.1)[0, -1]
    radius = 0.5 / (math.pi / 4)
    assert place == pytest.approx([radius, radius], abs=2e-3)
    sideways = integrate(np.ones((1, 4, 1), np.float32) * [[0.0, 0.5, 0.0]], ("linear_x", "linear_y", "angular_z"), 0.1)
    assert sideways[0, -1] == pytest.approx([0.0, 0.2])


def test_a_stop_counts_when_said_three_times_in_a_row() -> None:
    assert confirmed(np.array([True, True, False, True, True, True])) == 5
    assert confirmed(np.array([True, True, False, True])) is None


def test_without_episodes_there_is_no_evaluation() -> None:
    with pytest.raises(DataError, match="no frame with a command"):
        evaluate_episodes(constant(0.0, 0.0, 0.0), [])
