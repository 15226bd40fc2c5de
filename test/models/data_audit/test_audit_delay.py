"""The delay from command to motion is found again in episodes that were made with a known one."""

import dataclasses

import numpy as np
import pytest
from made_episodes import NAMES, make_episode, make_set, with_actions

from mobile_vla_models.data.audit import Severity, audit
from mobile_vla_models.data.audit.delay import Delay, Lag, Ramp, estimate_delay, lag_products
from mobile_vla_models.data.episode import Episode, Signal

PERIOD = 0.1  # s of the camera


def found(episode: Episode) -> dict[str, Delay | None]:
    return {name: estimate_delay(name, products) for name, products in lag_products(episode).items()}


@pytest.mark.parametrize("noise", [0.0, 0.03, 0.1])
@pytest.mark.parametrize("constant", [0.0, 0.1, 0.3])
def test_a_dead_time_of_180_ms_is_found_under_noise_and_lag(constant: float, noise: float) -> None:
    for number in range(3):
        delay = found(make_episode(number, dead=0.18, constant=constant, noise=noise))["angular_z"]
        assert delay is not None
        assert delay.dead_time_s == pytest.approx(0.18, abs=PERIOD)
        assert delay.low_s - 0.02 <= 0.18 <= delay.high_s + 0.02
        assert delay.gain == pytest.approx(1.0, abs=0.3)


@pytest.mark.parametrize("dead", [0.0, 0.05, 0.4, 0.7])
def test_other_dead_times_are_told_apart_from_the_lag(dead: float) -> None:
    delay = audit(make_set(4, dead=dead, constant=0.2)).overall.delays["angular_z"]
    assert delay.dead_time_s == pytest.approx(dead, abs=0.03)
    assert delay.response == Lag(0.2)
    assert delay.peak_s > dead + 0.1, "plain cross-correlation takes the lag for delay"
    assert delay.confidence > 0.95


def test_a_limit_of_acceleration_is_told_from_a_lag() -> None:
    stamps = np.arange(0.0, 12.0, 0.05)
    told = np.where((stamps % 3.0) < 1.6, 0.9, -0.4)
    fine = np.arange(0.0, 12.0, 0.01)
    speed, measured = 0.0, []
    for time in fine:
        wanted = told[int((time - 0.15) // 0.05)] if time >= 0.15 else 0.0
        speed += float(np.clip(wanted - speed, -0.03, 0.03))
        measured.append(speed)
    episode = dataclasses.replace(
        make_episode(0),
        actions=Signal(("angular_z",), stamps, told[:, None].astype(np.float32), None),
        odometry=Signal(("angular_z",), fine, np.array(measured, np.float32)[:, None], None),
        begin=0.0,
        end=12.0,
    )
    delay = found(episode)["angular_z"]
    assert delay is not None
    assert delay.response == Ramp(3.0)
    assert delay.dead_time_s == pytest.approx(0.15, abs=0.03)


def test_without_odometry_or_motion_the_delay_is_not_known() -> None:
    episode = make_episode(1)
    assert found(dataclasses.replace(episode, odometry=None)) == {}
    still = with_actions(episode, np.zeros_like(episode.actions.values))
    assert episode.odometry is not None
    rest = np.random.default_rng(0).normal(0.0, 0.01, episode.odometry.values.shape).astype(np.float32)
    still = dataclasses.replace(still, odometry=dataclasses.replace(episode.odometry, values=rest))
    assert found(still) == {"linear_x": None, "angular_z": None}


def test_motion_that_has_nothing_to_do_with_the_commands_has_no_delay() -> None:
    episode = make_episode(1)
    assert episode.odometry is not None
    rng = np.random.default_rng(1)
    wander = np.cumsum(rng.normal(0.0, 0.1, episode.odometry.values.shape), axis=0).astype(np.float32)
    elsewhere = dataclasses.replace(episode, odometry=dataclasses.replace(episode.odometry, values=wander))
    assert all(delay is None or delay.confidence < 0.7 for delay in found(elsewhere).values())


def test_a_long_dead_time_is_flagged() -> None:
    flags = [flag for flag in audit(make_set(4, dead=0.6)).flags if flag.check == "command to motion"]
    assert {flag.severity for flag in flags} == {Severity.WARNING}
    assert "600 ms" in flags[0].found or "610 ms" in flags[0].found


def test_motion_before_its_command_is_flagged() -> None:
    late = []
    for episode in make_set(4):
        actions = dataclasses.replace(episode.actions, stamps=episode.actions.stamps + 0.35)
        late.append(dataclasses.replace(episode, actions=actions, end=episode.end + 0.35))
    flags = [flag for flag in audit(late).flags if flag.check == "command to motion"]
    assert flags
    assert flags[0].severity is Severity.ERROR
    assert "before it is commanded" in flags[0].found


def test_a_sign_that_is_wrong_is_flagged() -> None:
    turned = [with_actions(episode, episode.actions.values * (1.0, -1.0)) for episode in make_set(12)]
    messages = [flag.found for flag in audit(turned).flags if flag.severity is Severity.ERROR]
    assert any("measured angular_z goes against the commanded one" in message for message in messages)


def test_an_episode_over_another_link_is_named() -> None:
    odd = dataclasses.replace(make_episode(40, dead=0.5), source="odd#0")
    flags = [flag for flag in audit([*make_set(12), odd]).flags if flag.check == "command to motion"]
    assert [flag.episodes for flag in flags] == [("odd#0",)]
    assert set(NAMES) == set(odd.actions.names)
