"""Figures of a node that was heard: made-up times, whose figures are known."""

import pytest

pytest.importorskip("torch")

from mobile_vla_ros.benchmark.figures import Command, Figures, Step

HZ, DELIVERY = 20.0, 0.002


def step(frame: float, policy: float = 0.020) -> Step:
    """Received after 1 ms, begun after 2, decoded after 4, commanded 1 ms after the policy: 5 ms besides the policy."""
    planned = frame + 0.004 + policy
    return Step(frame, frame + 0.001, frame + 0.002, frame + 0.004, planned, command=planned + 0.001)


def hear(steps: list[Step], ticks: list[float]) -> list[Command]:
    stamps = sorted([*ticks, *(one.command for one in steps)])
    return [Command(stamp, stamp + DELIVERY) for stamp in stamps]


TICKS = [100.0 + number / HZ for number in range(100)]


def test_overhead_is_everything_but_the_policy() -> None:
    steps = [step(100.013 + 0.2 * number, policy=0.020 + 0.001 * number) for number in range(20)]
    figures = Figures.of(steps, hear(steps, TICKS), HZ)
    assert figures.steps == 20
    assert figures.overhead.p50 == pytest.approx(5.0)
    assert figures.overhead.p99 == pytest.approx(5.0)
    assert sum(times.p50 for times in figures.stages.values()) == pytest.approx(5.0)
    assert figures.policy.p50 == pytest.approx(29.5)
    assert figures.delivery.p50 == pytest.approx(2.0)
    assert figures.rate == pytest.approx(1 / 0.201)


def test_commands_of_answers_do_not_count_for_the_period() -> None:
    steps = [step(100.013 + 0.2 * number) for number in range(20)]
    figures = Figures.of(steps, hear(steps, TICKS), HZ)
    assert figures.sent.largest == pytest.approx(0.0, abs=1e-6)
    assert figures.heard.largest == pytest.approx(0.0, abs=1e-6)
    assert figures.longest == pytest.approx(50.0)


def test_a_late_tick_is_an_error_before_it_and_after_it() -> None:
    steps = [step(100.013), step(100.213)]
    late = [stamp + (0.007 if number == 50 else 0.0) for number, stamp in enumerate(TICKS)]
    figures = Figures.of(steps, hear(steps, late), HZ)
    assert figures.sent.largest == pytest.approx(7.0)
    assert figures.sent.p50 == pytest.approx(0.0, abs=1e-6)
    assert figures.longest == pytest.approx(57.0)


def test_a_tick_that_did_not_come_is_seen() -> None:
    steps = [step(100.013), step(100.213)]
    assert Figures.of(steps, hear(steps, TICKS[:50] + TICKS[51:]), HZ).sent.largest == pytest.approx(50.0)


def test_a_step_whose_command_was_not_heard_does_not_count() -> None:
    steps = [step(100.013 + 0.2 * number) for number in range(5)]
    commands = [command for command in hear(steps, TICKS) if command.stamp != steps[2].command]
    assert Figures.of(steps, commands, HZ).steps == 4


@pytest.mark.parametrize(("steps", "ticks"), [([], TICKS), ([step(100.013), step(100.213)], TICKS[:2])])
def test_too_little_gives_no_figures(steps: list[Step], ticks: list[float]) -> None:
    with pytest.raises(ValueError, match=f"heard {len(steps)} steps and {len(ticks)} commands"):
        Figures.of(steps, hear(steps, ticks), HZ)
