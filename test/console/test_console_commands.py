import re
from copy import copy
from pathlib import Path

import pytest
import torch
from console_user import ConsoleUser, rows

from mobile_vla_models import VLAPolicy
from mobile_vla_models.console.tables import precision
from mobile_vla_models.quantization import Precision
from mobile_vla_models.weights import stored_tensors

TEXT = "go to the red box"
COMMANDS = ("infer", "benchmark", "memory", "clear", "help", "quit", "exit")


def test_help_lists_every_command_and_explains_each(user: ConsoleUser) -> None:
    shown = user.says("help")
    for command in COMMANDS:
        assert re.search(rf"^ {command}\b.* [A-Z]", shown, re.MULTILINE), command
        usage, text, *_ = user.says(f"help {command}").splitlines()
        assert usage.startswith(command)
        assert text.endswith(".")
    assert user.says("?") == shown


@pytest.mark.parametrize("line", ["dance now", "help dance", "!dance", '"dance"'])
def test_an_unknown_command_is_named(user: ConsoleUser, line: str) -> None:
    shown = user.says(line)
    assert re.fullmatch(r"error: unknown command '.*dance.*': expected one of (.*)\n", shown)
    assert shown.endswith(", ".join(COMMANDS) + "\n")


def test_every_command_has_help_and_the_other_way_round(user: ConsoleUser) -> None:
    names = {name.removeprefix("do_") for name in user._console.get_names() if name.startswith("do_")}
    assert names == {*COMMANDS, "EOF"}


def test_an_empty_line_does_not_take_a_step(user: ConsoleUser, picture: Path) -> None:
    user.says(f"infer '{picture}' '{TEXT}'")
    assert user.says("") == user.says("   ") == ""
    assert user.says("infer").startswith("step 2, ")


@pytest.mark.parametrize("line", ["quit", "exit", "EOF"])
def test_the_console_ends(user: ConsoleUser, line: str) -> None:
    assert user.ends(line)
    assert user.reads() == ""


@pytest.mark.parametrize("line", ["quit now", "exit now", "memory now", "clear now"])
def test_words_that_mean_nothing_are_refused(user: ConsoleUser, line: str) -> None:
    assert user.says(line) == f"error: {line.split()[0]} takes nothing; got 'now'\n"


def test_benchmark_says_what_it_measured_and_on_what(user: ConsoleUser, shipped: VLAPolicy) -> None:
    shown = user.says("benchmark 7")
    assert "no picture yet: measuring with noise of 640 x 480 pixels, seed 0\n" in shown
    assert f"no text yet: measuring with '{TEXT}'\n" in shown
    assert "latency of 7 steps" in shown
    times = [float(re.search(rf"p{percent} +│ +([\d.]+) ms", shown)[1]) for percent in (50, 95, 99)]
    assert 0 < times[0] <= times[1] <= times[2]
    facts = {
        "parameters": f"{shipped.model.parameter_count():,}",
        "precision": "float32",
        "threads": str(torch.get_num_threads()),
        "device": "cpu",
    }
    for name, value in facts.items():
        assert re.search(rf"{name} +│ {value} ", shown), name


def test_benchmark_steps_a_full_window_with_the_last_frame_and_text(
    user: ConsoleUser, shipped: VLAPolicy, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user.says(f"infer '{picture}' 'go on'")
    steps: list[tuple[tuple[int, ...], str, bool]] = []
    step = VLAPolicy.step

    def counted(self: VLAPolicy, rgb: object, text: str) -> object:
        steps.append((rgb.shape, text, self._history is None))
        return step(self, rgb, text)

    monkeypatch.setattr(VLAPolicy, "step", counted)
    shown = user.says("benchmark 4")
    assert "measuring with" not in shown
    assert shown.endswith("history forgotten\n")
    assert steps == [((60, 80, 3), "go on", number == 0) for number in range(shipped.config.window + 4)]
    assert user.says("infer").startswith("step 1, ")


@pytest.mark.parametrize("words", ["0", "-3", "many", "1.5", "3 4"])
def test_benchmark_takes_a_number_of_steps(user: ConsoleUser, words: str) -> None:
    shown = user.says(f"benchmark {words}")
    assert shown == f"error: expected benchmark STEPS, a whole number from 1 on; got {words!r}\n"


def test_memory_shows_the_weights_part_by_part(user: ConsoleUser, shipped: VLAPolicy) -> None:
    shown = user.says("memory")
    assert re.search(r"process, resident +│ [\d.]+ [MG]B ", shown)
    assert re.search(r"free +│ .+: [\d.]+ [MGk]B of [\d.]+ GB ", shown)
    assert "weights, float32" in shown
    stored = sum(tensor.nbytes for tensor in stored_tensors(shipped.model).values())
    exact = {"all": stored, "head": sum(parameter.nbytes for parameter in shipped.model.head.parameters())}
    for part in ("action_tokens", "backbone", "clip", "fusion", "head", "all"):
        size, unit = re.search(rf"│ {part} +│ ([\d.]+) (\w+)", shown).groups()
        if part in exact:
            assert unit == "MB"
            # Buffers that are not stored are there too.
            assert float(size) == pytest.approx(exact[part] / 1e6, rel=0.05)


def test_weights_in_half_the_bits_take_half_the_memory(user: ConsoleUser, shipped: VLAPolicy) -> None:
    whole = float(re.search(r"│ head +│ ([\d.]+) MB", user.says("memory"))[1])
    shipped.model.head.to(torch.bfloat16)
    try:
        assert float(re.search(r"│ head +│ ([\d.]+) MB", user.says("memory"))[1]) == pytest.approx(whole / 2, abs=0.1)
    finally:
        shipped.model.head.to(torch.float32)


def test_a_part_that_shares_its_weights_counts_them_once(user: ConsoleUser, shipped: VLAPolicy) -> None:
    before = re.search(r"│ all +│ ([\d.]+) MB", user.says("memory"))[1]
    largest = max(shipped.model.parameters(), key=torch.numel).detach()
    shipped.model.register_buffer("again", largest)
    try:
        assert re.search(r"│ all +│ ([\d.]+) MB", user.says("memory"))[1] == before
    finally:
        del shipped.model.again


def test_clear_forgets_the_history_and_keeps_picture_and_text(user: ConsoleUser, picture: Path) -> None:
    first = rows(user.says(f"infer '{picture}' '{TEXT}'"))
    second = rows(user.says("infer"))
    shown = user.says("clear")
    assert re.search(r"resident +│ [\d.]+ [MG]B +│ [\d.]+ [MG]B", shown)
    assert "history of 2 steps forgotten\n" in shown
    shown = user.says("infer")
    assert shown.startswith("step 1, ")
    assert rows(shown).tolist() == first.tolist() != second.tolist()


def test_clear_gives_freed_memory_back(user: ConsoleUser, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr("mobile_vla_models.console.shell.give_back", lambda: calls.append("give back") or False)
    assert user.says("clear").endswith("this C library keeps freed memory\n")
    assert calls == ["give back"]


def test_a_defect_is_not_taken_for_a_mistake_of_the_user(
    user: ConsoleUser, shipped: VLAPolicy, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise TypeError("defect")

    monkeypatch.setattr(shipped, "step", broken)
    with pytest.raises(TypeError, match="defect"):
        user.ends(f"infer '{picture}' '{TEXT}'")


def test_too_little_memory_is_said_without_leaving(
    user: ConsoleUser, shipped: VLAPolicy, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.\nTried to allocate 2 GiB")

    monkeypatch.setattr(shipped, "step", full)
    shown = user.says(f"infer '{picture}' '{TEXT}'")
    assert shown == "error: CUDA out of memory. Tried to allocate 2 GiB\n"


def test_a_quantised_policy_says_so(shipped: VLAPolicy) -> None:
    assert precision(shipped) == "float32"
    parts = shipped.config.precision.model_copy(update={"vision": Precision.INT8, "text": Precision.INT8})
    policy = copy(shipped)
    policy.config = shipped.config.model_copy(update={"precision": parts})
    assert precision(policy) == "int8 and float32"
