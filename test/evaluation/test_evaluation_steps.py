"""Steps within the limits pass however late they are stamped, others do not; faults are counted apart."""

from collections.abc import Sequence

import numpy as np
import pytest

from mobile_vla_ros.control import Limits
from mobile_vla_ros.control.limits import VelocityLimiter
from mobile_vla_ros.evaluation.steps import Said, Step, Steps, look_at_steps, together
from mobile_vla_ros.faults.bounds import Command

LIMITS = Limits(0.0, 0.5, 1.0, 1.0, 3.0, 10.0, 30.0)
BEGIN = 1.7e9  # s: stamps are large numbers


def look(speeds: Sequence[float], times: Sequence[float], said: Sequence[Said] = ()) -> Steps:
    commands = [Command(time, BEGIN + time, v, 0.0) for v, time in zip(speeds, times, strict=True)]
    return look_at_steps(commands, said, (), LIMITS)


def driven(seed: int, lateness: float, steeper: float = 1.0) -> list[Command]:
    """30 s of commands: a tick each 50 ms, answers in between, each stamped up to `lateness` s late."""
    rng = np.random.default_rng(seed)
    limiter = VelocityLimiter(Limits(0.0, 0.5, 1.0, steeper * 1.0, steeper * 3.0, 10.0, 30.0))
    ticks = np.arange(600) * 0.05
    times = np.sort(np.concatenate([ticks, rng.uniform(0.0, 30.0, 150)]))
    target, commands, last, stamp = (0.0, 0.0), [], -0.05, 0.0
    for time in times:
        if rng.random() < 0.2:
            target = (float(rng.uniform(0.0, 0.5)), float(rng.uniform(-1.0, 1.0)))
        velocity = limiter.towards(target, max(time - last, 1e-6))
        last = float(time)
        stamp = max(stamp, last + float(rng.uniform(0.0, lateness)))
        commands.append(Command(stamp, BEGIN + stamp, *velocity))
    return commands


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("lateness", [0.0, 0.005, 0.029])
def test_commands_within_the_limits_pass_however_late_they_are_stamped(seed: int, lateness: float) -> None:
    steps = look_at_steps(driven(seed, lateness), (), (), LIMITS)
    assert steps.beyond == steps.stops == ()
    assert steps.short <= lateness + 1e-5
    assert 0.04 < steps.linear_x.change < 0.06
    assert 0.1 < steps.angular_z.change < 0.18


@pytest.mark.parametrize("seed", range(5))
def test_a_ramp_that_is_a_fifth_too_steep_is_seen_through_the_lateness_of_stamps(seed: int) -> None:
    assert look_at_steps(driven(seed, 0.005, steeper=1.2), (), (), LIMITS).beyond


def test_a_jump_where_plans_join_is_beyond_and_named() -> None:
    steps = look([0.3, 0.3, 0.39, 0.39], [0.0, 0.05, 0.1, 0.15])
    (text,) = steps.beyond
    assert text == "(0.300, 0.000) to (0.390, 0.000) within 0.050 s: needs 0.090 s"
    assert steps.linear_x == Step(pytest.approx(0.09), pytest.approx(0.05, abs=1e-6))


def test_a_step_counts_for_the_time_that_it_had() -> None:
    assert look([0.3, 0.39], [0.0, 0.09]).beyond == ()
    assert look([0.3, 0.36], [0.0, 0.003]).beyond


def test_a_process_that_is_held_up_between_deciding_and_stamping_is_no_jump() -> None:
    """The command of 0.05 s is stamped 0.1 s late; that of 0.15 s comes right behind it."""
    steps = look([0.2, 0.25, 0.35, 0.4], [0.0, 0.15, 0.151, 0.2])
    assert steps.beyond == ()
    assert look([0.2, 0.25, 0.35, 0.4], [0.0, 0.05, 0.051, 0.1]).beyond


def test_a_zero_at_once_is_counted_apart_where_a_fault_is_told_and_nowhere_else() -> None:
    speeds, times = [0.4, 0.4, 0.0, 0.0], [0.0, 0.05, 0.1, 0.15]
    told = look(speeds, times, [(0.0, "driving"), (0.11, "stopped: camera: no usable frame for 0.31 s")])
    assert (told.beyond, told.stops) == ((), ("stopped: camera: no usable frame for 0.31 s",))
    assert told.linear_x.change == 0.0
    for said in ([], [(0.11, "driving: slowing down: new instruction")], [(3.0, "stopped: camera: late")]):
        untold = look(speeds, times, said)
        assert len(untold.beyond) == 1
        assert untold.stops == ()
    # A slow robot that is stopped at once is stopped at once, too; the end of a ramp is not.
    slow = look([0.06, 0.06, 0.0], times[:3], [(0.11, "stopped: x")])
    used_up = [(0.11, "stopped: the plan is used up (0.81 s old)")]
    assert (slow.stops, slow.short) == (("stopped: x",), pytest.approx(0.0, abs=1e-5))
    assert look([0.06, 0.02, 0.0], times[:3], used_up).stops == ()
    # A fault excuses a zero, and no other velocity.
    assert look([0.4, 0.4, 0.1], times[:3], [(0.11, "stopped: camera: late")]).beyond


def test_runs_are_summed_up_and_the_largest_step_stays_with_what_was_allowed() -> None:
    calm, quick = look([0.1, 0.11], [0.0, 0.05]), look([0.1, 0.19], [0.0, 0.1])
    both = together([calm, quick, look([0.3, 0.45], [0.0, 0.05])])
    assert (both.commands, len(both.beyond)) == (6, 1)
    assert both.linear_x == Step(pytest.approx(0.15), pytest.approx(0.05, abs=1e-6))
    with pytest.raises(ValueError, match="no runs"):
        together([])


def test_joins_are_the_commands_that_provenance_names() -> None:
    commands = [Command(time, BEGIN + time, 0.0, 0.0) for time in (0.0, 0.05, 0.1)]
    assert look_at_steps(commands, (), {commands[1].sent, 1.0}, LIMITS).joins == 1
