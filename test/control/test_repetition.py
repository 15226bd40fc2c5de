"""The same words again: a new task, or none."""

import math
from dataclasses import dataclass, field

import pytest
from drive_loop import CONFIG, DT, RANGE, TICK, Loop, driving, is_zero
from hypothesis import given
from hypothesis import strategies as st
from properties import cases

from mobile_vla_models.sentence import StopSentences
from mobile_vla_ros.control import Command, ControllerConfig, DriveController, DriveState
from mobile_vla_ros.control.repetition import Repetition
from mobile_vla_ros.faults.policy import LIMITS

GO, TIMEOUT = "go to the red box", CONFIG.same_instruction_timeout
HINT = "the same words are a new task after 5 s without them"
steps = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "a", "a", "end", "forget"]),
        st.sampled_from([0.0, 0.1, 1.0, TIMEOUT - 0.01, TIMEOUT, 7.0]),
        st.booleans(),
    ),
    max_size=30,
)


@dataclass
class History:
    """What was received, told by what the pages say: nothing of it is remembered but what came."""

    messages: list[tuple[float, str, bool]] = field(default_factory=list)  # s, sentence, whether it was no new task
    ended: bool = False

    def expected(self, sentence: str, time: float, followed: bool) -> bool:
        if not self.messages or self.messages[-1][1] != sentence:
            return False
        last, _, repeated = self.messages[-1]
        if self.ended:
            before = self.messages[-2][0] if len(self.messages) > 1 else -math.inf
            return time - last < TIMEOUT and repeated and last - before < TIMEOUT
        return followed or time - last < TIMEOUT


@cases
@given(steps)
def test_the_same_words_are_a_new_task_as_the_table_says(steps: list[tuple[str, float, bool]]) -> None:
    repetition, history, time = Repetition(), History(), 100.0
    for what, wait, followed in steps:
        time += wait
        if what == "end":
            repetition.end()
            history.ended = True
        elif what == "forget":
            repetition.forget()
            history = History()
        else:
            expected = history.expected(what, time, followed)
            assert repetition.is_repeated(what, time, TIMEOUT, followed) == expected
            history.messages.append((time, what, expected))
            history.ended = history.ended and expected


@cases
@given(
    period=st.floats(0.01, TIMEOUT - 0.01),
    states=st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=50),
)
def test_a_repeater_begins_one_task_whatever_becomes_of_it(period: float, states: list[tuple[bool, bool]]) -> None:
    repetition = Repetition()
    assert not repetition.is_repeated(GO, 0.0, TIMEOUT, followed=False)
    for number, (followed, ended) in enumerate(states, start=1):
        if ended and number > 1:
            repetition.end()
        assert repetition.is_repeated(GO, number * period, TIMEOUT, followed)


@cases
@given(st.lists(st.tuples(st.floats(0.0, 10.0), st.booleans()), max_size=20))
def test_without_a_timeout_each_message_is_a_new_task(messages: list[tuple[float, bool]]) -> None:
    repetition, time = Repetition(), 0.0
    for wait, followed in messages:
        time += wait
        assert not repetition.is_repeated(GO, time, 0.0, followed)


def repeat(loop: Loop, period: float, duration: float, text: str = GO) -> set[int]:
    """Publish a sentence every `period` s; the numbers of its tasks."""
    numbers = set()
    for tick in range(round(duration / TICK)):
        if tick % round(period / TICK) == 0:
            numbers.add(loop.say(text))
        loop.tick(TICK)
    return numbers


@pytest.mark.parametrize("period", [0.1, 1.0])
def test_a_sentence_that_is_repeated_is_driven_once_and_done_for_as_long_as_it_is_repeated(period: float) -> None:
    loop = Loop()
    assert repeat(loop, period, 3.0) == {1}
    steady = [command for time, command in loop.commands if time > 1.5]
    assert all((command.linear_x, command.angular_z) == pytest.approx((0.4, 0.2)) for command in steady)
    loop.stop = 1.0
    repeat(loop, period, 2.0)
    loop.commands.clear()
    loop.stop = 0.0
    assert repeat(loop, period, 20.0) == {1}
    assert {command for _, command in loop.commands} == {Command(0.0, 0.0, DriveState.DONE, HINT)}
    loop.run(TIMEOUT)
    assert loop.say(GO) == 2
    assert loop.run(1.0).state is DriveState.DRIVING


def test_with_a_timeout_of_zero_each_message_is_a_new_task() -> None:
    loop = Loop(config=ControllerConfig(dt=DT, same_instruction_timeout=0.0))
    assert repeat(loop, 1.0, 4.0) == {1, 2, 3, 4}


def test_spelling_makes_no_difference() -> None:
    loop = driving()
    assert loop.say("\ufeffgo  to\u00a0the red\nbox\u200b ") == loop.controller.instruction_id == 1
    assert loop.controller.instruction == GO


def test_a_policy_that_failed_gets_no_chance_from_a_sentence_that_is_repeated() -> None:
    loop = driving()
    loop.controller.policy_failed("broken")
    assert repeat(loop, 0.1, 8.0) == {1}
    assert loop.commands[-1][1] == Command(0.0, 0.0, DriveState.STOPPED, f"broken; {HINT}")
    loop.run(TIMEOUT)
    assert loop.say(GO) == 2
    assert loop.run(1.0).state is DriveState.DRIVING


def test_an_image_that_is_frozen_gets_no_chance_from_a_sentence_that_is_repeated() -> None:
    loop = driving()
    loop.frozen = True
    loop.run(2.0)
    loop.commands.clear()
    assert repeat(loop, 0.1, 4.0) == {1}
    assert all(is_zero(command) for _, command in loop.commands)
    assert loop.commands[-1][1].reason.endswith(HINT)
    loop.run(TIMEOUT)
    assert loop.say(GO) == 2
    loop.run(0.5)
    assert not is_zero(loop.commands[-1][1])


@pytest.mark.parametrize("text", ["", "stop", "...", "other words"])
def test_the_same_words_go_on_at_once_after_a_person_has_ended_the_task(text: str) -> None:
    loop = driving_with_stop()
    for _ in range(3):
        loop.say(text)
        loop.run(0.5)
        before = loop.controller.instruction_id
        assert loop.say(GO) == before + 1
        assert loop.run(1.0).state is DriveState.DRIVING


@pytest.mark.parametrize("text", ["", "stop", "..."])
def test_a_task_that_a_person_has_ended_stays_ended_while_its_sentence_is_repeated(text: str) -> None:
    loop = driving_with_stop()
    repeat(loop, 0.1, 0.5)
    loop.say(text)
    loop.commands.clear()
    repeat(loop, 0.1, 8.0)
    assert all(is_zero(command) for _, command in loop.commands)
    assert loop.commands[-1][1].reason.endswith(HINT)
    loop.run(TIMEOUT)
    loop.say(GO)
    assert loop.run(1.0).state is DriveState.DRIVING


def test_after_an_emergency_stop_the_same_words_are_new() -> None:
    loop = driving()
    repeat(loop, 0.1, 0.5)
    loop.emergency_stop("by request")
    loop.run(0.1)
    loop.controller.arming.reset()
    loop.arm()
    number = loop.controller.instruction_id
    assert loop.say(GO) == number + 1


def test_a_simulation_that_tells_no_time_begins_a_task_with_each_sentence() -> None:
    controller = DriveController(LIMITS, CONFIG, RANGE)
    assert [controller.set_instruction(GO) for _ in range(3)] == [1, 2, 3]
    assert controller.set_instruction(GO, 1.0) == 4


def driving_with_stop() -> Loop:
    loop = Loop(stop_sentences=StopSentences(["stop"]))
    loop.run(0.3)
    loop.say(GO)
    loop.run(2.0)
    return loop
