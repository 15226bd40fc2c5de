"""Instructions that are none: refused, or meaning stop."""

from collections.abc import Sequence

import pytest
from drive_loop import Loop

from mobile_vla_models.sentence import StopSentences
from mobile_vla_ros.control import Command, DriveState


def stops_at_once(text: str, stop: Sequence[str] = ()) -> Command:
    """The command after an instruction to a robot that drives: zero in the next tick, and ever after."""
    loop = Loop(stop_sentences=StopSentences(stop))
    loop.run(0.3)
    loop.say("go to the red box")
    assert loop.run(2.0).linear_x > 0.3
    loop.say(text)
    loop.commands.clear()
    loop.run(2.0)
    (command,) = {command for _, command in loop.commands}
    assert loop.controller.instruction == ""
    assert (command.linear_x, command.angular_z) == (0.0, 0.0)
    return command


@pytest.mark.parametrize("text", ["stop", " Stop! ", "STOP", "멈춰!"])
def test_a_sentence_that_means_stop_is_zero_at_once_and_the_status_says_so(text: str) -> None:
    command = stops_at_once(text, ["stop", "멈춰"])
    assert (command.state, command.reason) == (
        DriveState.WAITING,
        f"stopped by the instruction {text.strip()!r}",
    )


def test_a_sentence_that_only_holds_one_that_means_stop_is_a_task() -> None:
    loop = Loop(stop_sentences=StopSentences(["stop"]))
    loop.run(0.3)
    loop.say("stop at the red box")
    assert loop.run(2.0).state is DriveState.DRIVING


@pytest.mark.parametrize("text", [".", "!!!", "123", "1,5 -", "🛑", "\u3164."])
def test_an_instruction_without_a_letter_is_refused(text: str) -> None:
    command = stops_at_once(text)
    assert command.state is DriveState.STOPPED
    assert command.reason.endswith("refused: it has no letter")


@pytest.mark.parametrize("text", ["go\x00on", "\x1b[2Jgo on", "go \u202eno og", "go\x1fon", "go\x7f", "\u2066go on"])
def test_an_instruction_with_control_characters_is_refused(text: str) -> None:
    command = stops_at_once(text)
    assert command.state is DriveState.STOPPED
    assert "refused: it has the control character U+" in command.reason
    assert command.reason.isprintable()


@pytest.mark.parametrize("text", ["go\ton", "go\r\non\n", "\ufeffgo on", "go\u3000on", "go \u200bon"])
def test_blanks_line_ends_and_what_shows_nothing_are_no_control_characters(text: str) -> None:
    loop = Loop()
    loop.run(0.3)
    loop.say(text)
    assert loop.controller.instruction == "go on"
    assert loop.run(2.0).state is DriveState.DRIVING
