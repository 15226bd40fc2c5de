"""The judge of faults: it lets a good series pass, and fails every bad one that is planted."""

import itertools
import math

import pytest

from mobile_vla_ros.control import BaseLimits, Limits
from mobile_vla_ros.control.limits import VelocityLimiter
from mobile_vla_ros.faults.base import BASE, stopping_time
from mobile_vla_ros.faults.bounds import Command, Rules, breaches
from mobile_vla_ros.faults.judge import Expected, Verdict, Window, judge

LIMITS = Limits(0.0, 0.5, 1.0, 1.0, 3.0, 10.0, 30.0)
T = 0.05
BRAKING = BaseLimits().braking(LIMITS)
RULES = Rules(LIMITS, BRAKING, T)
FULL, REST = (0.4, 0.2), (0.0, 0.0)
FAULT, END = 1.0, 2.0
WINDOW = Window(FAULT, END)
WITHIN = 0.3


def series(velocities: list[tuple[float, float]], begin: float = 0.0) -> list[Command]:
    return [Command(begin + n * T + 0.01, begin + n * T, v, w) for n, (v, w) in enumerate(velocities)]


def driving(seconds: float) -> list[tuple[float, float]]:
    return [FULL] * round(seconds / T)


def standing(seconds: float) -> list[tuple[float, float]]:
    return [REST] * round(seconds / T)


def ramp(target: tuple[float, float], steps: int, start: tuple[float, float] = FULL) -> list[tuple[float, float]]:
    limiter = VelocityLimiter(LIMITS)
    while limiter.velocity != start:
        limiter.towards(start, T)
    return [limiter.towards(target, T) for _ in range(steps)]


def verdict(commands: list[Command], expected: Expected, within: float = WITHIN) -> Verdict:
    return judge(commands, expected, WINDOW, within, RULES)


GOOD = series([*driving(1.2), *standing(0.8)])


def test_a_zero_at_once_in_time_passes() -> None:
    found = verdict(GOOD, Expected.AT_ONCE)
    assert found.passed, found
    assert found.zero == pytest.approx(0.21)


def planted(where: int, velocity: tuple[float, float]) -> list[Command]:
    commands = list(GOOD)
    commands[where] = Command(commands[where].received, commands[where].sent, *velocity)
    return commands


@pytest.mark.parametrize(
    ("commands", "said"),
    [
        (series([*driving(1.4), *standing(0.6)]), "zero after 0.410 s, allowed are 0.300 s"),
        (series(driving(2.0)), "no zero that lasts"),
        (planted(-1, (0.01, 0.0)), "no zero that lasts"),
        (planted(-3, (0.01, 0.0)), "where there must be none but zero"),
        (planted(26, (0.0, 1e-9)), "where there must be none but zero"),
        (planted(-2, (-0.0, math.nan)), "is not finite"),
        (planted(20, (math.inf, 0.0)), "is not finite"),
        (planted(20, (0.51, 0.2)), "out of 0 to 0.5 m/s"),
        (planted(20, (-0.01, 0.2)), "out of 0 to 0.5 m/s"),
        (planted(20, (0.4, -1.01)), "beyond 1 rad/s"),
        (planted(20, (0.3, 0.2)), "linear_x 0.400 to 0.300 within at most 0.080 s: beyond 1 per s"),
        (planted(20, (0.4, 0.5)), "angular_z 0.200 to 0.500 within at most 0.080 s: beyond 3 per s"),
        (planted(20, (0.33, 0.2)), "beyond a jerk of 10"),
        (GOOD[:26], "commands have ceased"),
    ],
)
def test_a_bad_series_fails_and_says_why(commands: list[Command], said: str) -> None:
    found = verdict(commands, Expected.AT_ONCE)
    assert not found.passed
    assert any(said in text for text in (*found.failures, *found.out_of_bounds)), found


def test_a_robot_that_creeps_within_the_time_allowed_is_seen() -> None:
    commands = series([*driving(1.05), *standing(0.05), (0.02, 0.01), *standing(0.85)])
    assert verdict(commands, Expected.AT_ONCE).out_of_bounds
    assert verdict(commands, Expected.AGAIN).passed  # where a frame lets it move for a moment


def test_a_ramp_passes_as_a_ramp_only() -> None:
    commands = series([*driving(1.0), *ramp(REST, 20)])
    found = verdict(commands, Expected.RAMP, within=0.8)
    assert found.passed, found
    assert found.zero is not None
    assert 0.4 < found.zero < 0.7
    assert not verdict(commands, Expected.AT_ONCE).passed
    assert any("ramp" in text for text in verdict(GOOD, Expected.RAMP).failures)
    assert any("beyond" in text for text in verdict(GOOD, Expected.RAMP).out_of_bounds)


def test_silence_is_nothing_after_the_zero() -> None:
    commands = series([*driving(1.05), REST])
    assert verdict(commands, Expected.SILENCE).passed
    assert verdict(GOOD, Expected.AT_ONCE).passed
    assert any("after the last zero" in text for text in verdict(GOOD, Expected.SILENCE).failures)
    assert not verdict(series(driving(1.05)), Expected.SILENCE).passed  # the last word was no zero


def test_the_first_command_on_waking_counts() -> None:
    before = series(driving(0.5))
    assert verdict([*before, *series([REST, *ramp(FULL, 10, start=REST)], FAULT)], Expected.FIRST_ZERO).passed
    assert not verdict([*before, *series([FULL, *standing(0.9)], FAULT)], Expected.FIRST_ZERO).passed
    assert not verdict(before, Expected.FIRST_ZERO).passed
    late = verdict([*before, *series(standing(0.5), FAULT + WITHIN)], Expected.FIRST_ZERO)
    assert any("allowed are" in text for text in late.failures)


@pytest.mark.parametrize("expected", [Expected.STANDS, Expected.NO_MOTION])
def test_what_must_not_move_must_publish_zeros(expected: Expected) -> None:
    assert verdict(series(standing(2.0)), expected).passed
    assert verdict(series([*standing(1.5), (1e-9, 0.0), *standing(0.45)]), expected).out_of_bounds
    assert not verdict(series(standing(1.0)), expected).passed


def test_nothing_is_nothing() -> None:
    assert verdict(series(standing(1.0)), Expected.NOTHING).passed
    assert not verdict(GOOD, Expected.NOTHING).passed


def test_what_is_refused_must_not_hold_the_robot_up() -> None:
    assert verdict(series(driving(2.0)), Expected.DRIVES_ON).passed
    assert not verdict(GOOD, Expected.DRIVES_ON).passed
    assert not verdict(series([*driving(1.2), *ramp((0.3, 0.15), 16)]), Expected.DRIVES_ON).passed
    assert not verdict(series(driving(1.0)), Expected.DRIVES_ON).passed


def test_an_old_plan_may_only_fade() -> None:
    other = (0.4, -0.2)
    good = series([*driving(1.05), *ramp(other, 20)])
    assert verdict(good, Expected.NEW_PLAN).passed
    assert verdict(series([*driving(1.5), *ramp(other, 10)]), Expected.NEW_PLAN).out_of_bounds
    assert verdict(series(driving(2.0)), Expected.NEW_PLAN).out_of_bounds
    assert not verdict(series([*driving(1.05), *ramp(REST, 20)]), Expected.NEW_PLAN).passed


def test_the_base_stands_by_its_own_timeout() -> None:
    commands = series(driving(1.0))
    watched = Window(FAULT, FAULT + 2.0)
    within = stopping_time(FULL[0])
    found = judge(commands, Expected.BASE, watched, within, RULES)
    assert found.passed, found
    assert found.zero is not None
    assert BASE.command_timeout < found.zero <= within
    assert not judge(commands, Expected.BASE, Window(FAULT, FAULT + 0.5), within, RULES).passed
    assert not judge(GOOD, Expected.BASE, watched, within, RULES).passed  # a killed process that goes on


def test_every_ramp_of_the_limiter_is_within_the_bounds_whatever_the_steps() -> None:
    limiter, time, commands = VelocityLimiter(LIMITS), 0.0, []
    for step, target in itertools.product([0.05, 0.013, 0.05, 0.037], [(0.4, 0.9), (0.1, -0.7), REST]):
        for _ in range(8):
            time += step
            commands.append(Command(time, time, *limiter.towards(target, step)))
    exact = Rules(LIMITS, BRAKING, T, slack=1e-6)
    assert list(breaches(commands, exact, abrupt=False)) == []
    quicker = [Command(one.received / 1.1, one.sent / 1.1, one.linear_x, one.angular_z) for one in commands]
    assert list(breaches(quicker, exact, abrupt=False))


def test_a_clock_that_jumps_is_no_acceleration() -> None:
    before, after = series(ramp(FULL, 10, start=REST)), series(driving(0.5), begin=0.5)
    jumped = [Command(one.received, one.sent - 5.0, one.linear_x, one.angular_z) for one in after]
    assert list(breaches([*before, *jumped], RULES, abrupt=False)) == []


def test_commands_that_were_held_up_on_their_way_are_no_breach_and_a_leap_after_them_is() -> None:
    speeds = ramp(FULL, 8, start=REST)
    late = {4: 0.09, 5: 0.045}  # s: the first of a bunch waited longest
    commands = [
        Command(n * T + late.get(n, 0.0), n * T + late.get(n, 0.0), *velocity) for n, velocity in enumerate(speeds)
    ]
    assert list(breaches(commands, RULES, abrupt=False)) == []
    leap = Command(commands[7].received, commands[7].sent, 0.5, 0.2)
    assert list(breaches([*commands[:7], leap], RULES, abrupt=False))


GENTLE = LIMITS.tightened({"linear_acceleration": 0.1, "angular_acceleration": 0.3, "linear_jerk": 1.0})
EXACT = Rules(GENTLE, BRAKING, T, slack=1e-6)


def gently(seconds: float, braking: bool) -> list[Command]:
    limiter = VelocityLimiter(GENTLE, BRAKING)
    velocities = [limiter.towards(FULL, T) for _ in range(round(6.0 / T))]
    velocities += [limiter.brake(T) if braking else limiter.towards(REST, T) for _ in range(round(seconds / T))]
    return series(velocities)


@pytest.mark.parametrize("braking", [True, False])
def test_a_gentle_robot_may_brake_or_follow_its_plan(braking: bool) -> None:
    assert list(breaches(gently(1.0, braking), EXACT, abrupt=False)) == []


def test_a_gentle_robot_may_not_speed_up_as_it_brakes() -> None:
    commands = gently(1.0, braking=True)
    backwards = [
        Command(one.received, one.sent, other.linear_x, other.angular_z)
        for one, other in zip(commands, reversed(commands), strict=True)
    ]
    assert any("beyond 0.1 per s" in text for text in breaches(backwards, EXACT, abrupt=False))


def test_braking_that_is_too_sharp_is_seen() -> None:
    limiter = VelocityLimiter(LIMITS, BaseLimits(linear_deceleration=2.0, angular_deceleration=6.0).braking(LIMITS))
    while limiter.velocity != FULL:
        limiter.towards(FULL, T)
    commands = series([FULL, FULL, *(limiter.brake(T) for _ in range(10))])
    found = list(breaches(commands, Rules(LIMITS, BRAKING, T, slack=1e-6), abrupt=False))
    assert any("beyond a jerk" in text for text in found)
    assert any("per s" in text for text in found)
