import math

import pytest
from drive_loop import LIMITS
from hypothesis import given
from hypothesis import strategies as st
from properties import limits

from mobile_vla_ros.control.limits import BaseLimits, Limits, VelocityLimiter

PERIOD = 0.05
MOST_TICKS = 2000  # no ramp takes longer

velocities = st.tuples(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3))
full_speed = st.tuples(st.sampled_from([-9.0, 0.0, 9.0]), st.sampled_from([-9.0, -0.5, 0.0, 0.5, 9.0]))
steps = st.lists(
    st.tuples(st.one_of(full_speed, velocities), st.floats(0.005, 0.1), st.integers(1, 40)),
    min_size=1,
    max_size=6,
).map(lambda phases: [(target, dt) for target, dt, count in phases for _ in range(count)])


def parallel(a: tuple[float, float], b: tuple[float, float]) -> bool:
    return math.isclose(a[0] * b[1], a[1] * b[0], rel_tol=1e-6, abs_tol=1e-9) and a[0] * b[0] + a[1] * b[1] >= 0.0


def reach(limiter: VelocityLimiter, target: tuple[float, float], goal: tuple[float, float]) -> None:
    for _ in range(MOST_TICKS):
        if limiter.towards(target, PERIOD) == goal:
            return
    raise AssertionError(f"{goal} is not reached")


@given(limits, velocities)
def test_clipping_stays_within_the_limits_and_keeps_the_curvature(limits: Limits, wanted: tuple[float, float]) -> None:
    v, w = limits.clipped(wanted)
    assert limits.linear_x_min <= v <= limits.linear_x_max
    assert abs(w) <= limits.angular_z_max
    if limits.linear_x_min < 0.0 or wanted[0] >= 0.0:
        assert parallel((v, w), wanted)
    else:
        assert v == 0.0
        # A share of a number, times the number, may be the next one below.
        assert w == pytest.approx(max(-limits.angular_z_max, min(limits.angular_z_max, wanted[1])), rel=1e-12)


@given(limits, steps)
def test_speed_acceleration_and_jerk_never_exceed_their_limits(
    limits: Limits, steps: list[tuple[tuple[float, float], float]]
) -> None:
    limiter = VelocityLimiter(limits)
    velocity, acceleration = (0.0, 0.0), (0.0, 0.0)
    bounds = (
        (limits.linear_x_min, limits.linear_x_max, limits.linear_acceleration, limits.linear_jerk),
        (-limits.angular_z_max, limits.angular_z_max, limits.angular_acceleration, limits.angular_jerk),
    )
    for target, dt in steps:
        after = limiter.towards(target, dt)
        change = tuple((new - old) / dt for new, old in zip(after, velocity, strict=True))
        for value, rate, before, (low, high, most, jerk) in zip(after, change, acceleration, bounds, strict=True):
            assert low <= value <= high
            assert abs(rate) <= most * (1 + 1e-9)
            assert abs(rate - before) <= jerk * dt * 1.001 + jerk * 1e-3 * 0.1 + 1e-9
        velocity, acceleration = after, change


@given(limits, velocities)
def test_a_ramp_from_rest_arrives_exactly_and_keeps_its_curvature(limits: Limits, target: tuple[float, float]) -> None:
    limiter = VelocityLimiter(limits)
    goal = limits.clipped(target)
    for _ in range(MOST_TICKS):
        velocity = limiter.towards(target, PERIOD)
        assert parallel(velocity, goal)
        assert all(abs(v) <= abs(g) for v, g in zip(velocity, goal, strict=True))  # no overshoot
        if velocity == goal:
            break
    assert limiter.towards(target, PERIOD) == goal


@given(limits, velocities)
def test_a_ramp_to_rest_ends_at_exactly_zero_on_the_same_curve(limits: Limits, start: tuple[float, float]) -> None:
    limiter = VelocityLimiter(limits)
    reach(limiter, start, limits.clipped(start))
    begin = limiter.velocity
    for _ in range(MOST_TICKS):
        velocity = limiter.brake(PERIOD)
        assert parallel(velocity, begin)
        if limiter.at_rest:
            break
    assert velocity == (0.0, 0.0)


@pytest.mark.parametrize("speed", [0.2, 0.35, 0.5])
def test_how_long_and_how_far_it_rolls(speed: float) -> None:
    limiter = VelocityLimiter(LIMITS)
    reach(limiter, (speed, 0.0), (speed, 0.0))
    ticks, way = 0, 0.0
    while not limiter.at_rest:
        ticks += 1
        way += limiter.velocity[0] * PERIOD  # until this tick's command
        limiter.brake(PERIOD)
    print(f"from {speed} m/s: {ticks * PERIOD:.2f} s, {way:.3f} m")
    seconds = speed / LIMITS.linear_acceleration + LIMITS.linear_acceleration / LIMITS.linear_jerk
    assert ticks * PERIOD == pytest.approx(seconds, abs=3.0 * PERIOD + 1e-9)
    assert way == pytest.approx(0.5 * speed * seconds, rel=0.1)


bases = st.builds(BaseLimits, linear_deceleration=st.floats(0.2, 3.0), angular_deceleration=st.floats(0.5, 8.0))
comfort = st.tuples(*[st.floats(0.01, 1.0)] * 4)


@given(limits, bases, comfort, steps)
def test_how_far_it_rolls_at_most(
    own: Limits, base: BaseLimits, comfort: tuple[float, ...], before: list[tuple[tuple[float, float], float]]
) -> None:
    """From whatever it does, and however gently it is to drive: that makes no stop longer."""
    names = ("linear_acceleration", "angular_acceleration", "linear_jerk", "angular_jerk")
    own = own.within(base)
    gentle = own.tightened({name: share * getattr(own, name) for name, share in zip(names, comfort, strict=True)})
    braking = base.braking(own)
    limiter = VelocityLimiter(gentle, braking)
    for target, _ in before:
        limiter.towards(target, PERIOD)
    ticks, way, turn = 0, 0.0, 0.0
    while not limiter.at_rest:
        last, velocity = limiter.velocity, limiter.brake(PERIOD)
        ticks, way, turn = ticks + 1, way + abs(velocity[0]) * PERIOD, turn + abs(velocity[1]) * PERIOD
        for one, other, rate in zip(
            last, velocity, (braking.linear_deceleration, braking.angular_deceleration), strict=True
        ):
            assert abs(other) <= abs(one)  # never faster
            assert one * other >= 0.0  # nor the other way
            assert abs(one - other) <= rate * PERIOD * (1.0 + 1e-9)
    assert ticks * PERIOD <= braking.roll(own) + 5.0 * PERIOD
    assert way <= own.linear_speed * braking.roll(own) / 2.0
    assert turn <= own.angular_z_max * braking.roll(own) / 2.0


@pytest.mark.parametrize("acceleration", [1.0, 0.1, 0.01])
def test_gentle_driving_makes_no_stop_longer(acceleration: float) -> None:
    limiter = VelocityLimiter(LIMITS.tightened({"linear_acceleration": acceleration}), BaseLimits().braking(LIMITS))
    for _ in range(MOST_TICKS):
        limiter.towards((0.5, 0.0), PERIOD)
    way = 0.5 * PERIOD  # until the first command of the ramp
    while not limiter.at_rest:
        way += limiter.brake(PERIOD)[0] * PERIOD
    print(f"linear_acceleration {acceleration} m/s^2: it rolls {way:.3f} m from 0.5 m/s")
    assert way == pytest.approx(0.15, abs=0.01)


@given(limits, bases, velocities, st.integers(1, 20), st.floats(0.0, 1.0))
def test_braking_that_a_plan_ends_neither_swings_back_nor_leaves_the_curve(
    limits: Limits, base: BaseLimits, start: tuple[float, float], ticks: int, share: float
) -> None:
    limiter = VelocityLimiter(limits, base.braking(limits))
    reach(limiter, start, limits.clipped(start))
    begin = limiter.velocity
    for _ in range(ticks):
        limiter.brake(PERIOD)
    for _ in range(100):
        velocity = limiter.towards((share * begin[0], share * begin[1]), PERIOD)
        assert parallel(velocity, begin)
        for one, other in zip(velocity, begin, strict=True):
            assert abs(one) <= abs(other) + 1e-9
            assert one * other >= 0.0


def test_the_tighter_limit_holds_field_by_field() -> None:
    hostile = Limits(-900.0, 900.0, 0.5, 1e6, 1e6, 1e6, 1.0)
    assert hostile.within(BaseLimits()) == Limits(-2.0, 2.0, 0.5, 3.0, 10.0, 50.0, 1.0)
    assert LIMITS.within(BaseLimits()) == LIMITS
    assert Limits.within(LIMITS, BaseLimits(linear_x_min=-0.1)).linear_x_min == 0.0


@given(limits, steps)
def test_stop_is_zero_at_once(limits: Limits, steps: list[tuple[tuple[float, float], float]]) -> None:
    limiter = VelocityLimiter(limits)
    for target, dt in steps:
        limiter.towards(target, dt)
    limiter.stop()
    assert limiter.at_rest
    assert limiter.towards((0.0, 0.0), PERIOD) == (0.0, 0.0)


def test_a_change_of_course_in_mid_ramp_does_not_overshoot_the_speed_limit() -> None:
    limiter = VelocityLimiter(Limits(-3.0, 3.0, 3.0, 1.0, 3.0, 10.0, 1.0))
    velocity, acceleration = 0.0, 0.0
    for tick in range(200):
        after = limiter.towards((3.0, 3.0 if tick < 55 else -3.0), PERIOD)[0]
        change = (after - velocity) / PERIOD
        assert after <= 3.0
        assert abs(change - acceleration) <= 10.0 * PERIOD * 1.001
        velocity, acceleration = after, change


@pytest.mark.parametrize("target", [(math.nan, 0.0), (0.0, math.inf)])
def test_a_target_that_is_not_finite_is_refused(target: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="expected finite"):
        VelocityLimiter(LIMITS).towards(target, PERIOD)


@pytest.mark.parametrize("dt", [0.0, -0.1, math.nan, math.inf])
def test_a_step_without_length_is_refused(dt: float) -> None:
    with pytest.raises(ValueError, match="dt above 0"):
        VelocityLimiter(LIMITS).towards((0.1, 0.0), dt)
    with pytest.raises(ValueError, match="above 0"):
        VelocityLimiter(LIMITS).brake(dt)


def test_limits_can_be_tightened() -> None:
    assert LIMITS.tightened({"linear_x_max": 0.3, "angular_jerk": 30.0}).linear_x_max == 0.3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"linear_x_max": 0.8}, r"limit linear_x_max = 0\.8 loosens the policy's 0\.5"),
        ({"linear_x_min": -0.1}, r"limit linear_x_min = -0\.1 loosens the policy's 0\.0"),
        ({"linear_jerk": math.nan}, "limit linear_jerk = nan loosens"),
        ({"linear_x_max": 0.0}, "limit linear_x_max = 0.0: expected a finite number, above 0"),
        ({"linear_x_max": -0.1}, "limit linear_x_max = -0.1: expected a finite number, above 0"),
        ({"speed": 0.1}, "unknown limit 'speed'; known: linear_x_min"),
    ],
)
def test_limits_cannot_be_loosened(changes: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LIMITS.tightened(changes)
