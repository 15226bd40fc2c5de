"""What a person sees of an inspection."""

import io
from pathlib import Path

import pytest
import torch
from inspected import SimpleClipLSTM, checkpoint_of, with_head
from rich.console import Console
from rich.progress import Progress
from torch import nn

from mobile_vla_models.inspection.inspection import inspect
from mobile_vla_models.inspection.report import inspection_tree, size


def report(path: Path, *, values: bool = True, color: bool = False) -> str:
    with Progress(disable=True) as progress:
        tree = inspection_tree(inspect(path, progress, values=values))
    file = io.StringIO()
    Console(file=file, width=100, force_terminal=color, color_system="standard" if color else None).print(tree)
    return file.getvalue()


def test_each_part_is_said_with_its_numbers(tmp_path: Path) -> None:
    torch.save(checkpoint_of(SimpleClipLSTM()), tmp_path / "best.pth")
    text = report(tmp_path / "best.pth")
    lines = [line.strip(" │├└─") for line in text.splitlines()]
    for line in (
        "epoch                 12",
        "kosmos_model    Kosmos-2    11,504 parameters, 44.9 KiB float32",
        "text_model    3 blocks, width 16, ffn 24, 50 words",
        "vision_model  2 blocks, width 12, ffn 20, patch 4, image 16 px",
        "latents       3",
        "clip_model      CLIP         3,487 parameters, 13.6 KiB float32",
        "text_model    1 block, width 8, ffn 10, 40 words, 7 positions",
        "projection    6",
        "feature_fusion  Linear         414 parameters, 1.6 KiB float32",
        "0  Linear     22 -> 18",
        "18 -> 10, 4 layers",
        "1    LayerNorm  8",
        "2-3  no tensor (activation, dropout)",
        "6-7  no tensor (activation, dropout)",
        "8    Linear     8 -> 2",
        "none",
    ):
        assert line in lines
    assert lines[-1] == "total  19,455 parameters in 203 tensors, 76.0 KiB float32"
    assert all(len(line) <= 100 for line in text.splitlines())
    assert "DANGER" not in text


class Caller:
    def __reduce__(self) -> tuple[object, ...]:
        return (exec, ("raise SystemExit('it ran')",))


def test_errors_are_red_and_calls_are_loud(tmp_path: Path) -> None:
    state = with_head(SimpleClipLSTM().state_dict(), tied=False)
    state["rnn.weight_hh_l2"] = torch.full((40, 10), float("nan"))
    torch.save({**checkpoint_of(SimpleClipLSTM(), state), "hook": Caller()}, tmp_path / "best.pth")
    text = report(tmp_path / "best.pth", color=True)
    danger = next(line for line in text.splitlines() if "DANGER" in line)
    assert "\x1b[1;37;41m" in danger
    assert "builtins.exec" in danger
    broken = next(line for line in text.splitlines() if "400 of 400 values" in line)
    assert "\x1b[1;31merror" in broken
    assert "\x1b[1;31mrnn.weight_hh_l2" in broken


def test_names_from_the_file_neither_style_nor_move_the_terminal(tmp_path: Path) -> None:
    torch.save(
        {"state_dict": {"[red]\x1b[2Jx.w": torch.ones(2)}, "[bold]\n": "\x1b]0;t\x07 [/nope]"}, tmp_path / "x.pth"
    )
    text = report(tmp_path / "x.pth", color=True)
    assert "[red]\\x1b[2Jx" in text
    assert "[bold]\\n" in text
    assert "\\x1b]0;t\\x07 [/nope]" in text
    assert "\x1b[2J" not in text
    assert "\x07" not in text


def test_values_that_were_not_read_are_said(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 3).state_dict(), tmp_path / "x.pth")
    assert "values were not read" in report(tmp_path / "x.pth", values=False)
    assert "values were not read" not in report(tmp_path / "x.pth")


def test_long_names_are_folded_and_many_findings_are_counted(tmp_path: Path) -> None:
    state = {f"{'long' * 40}.{number}.x": torch.tensor([float("nan")]) for number in range(60)}
    torch.save(state, tmp_path / "x.pth")
    text = report(tmp_path / "x.pth")
    assert "and 20 more" in text
    assert all(len(line) <= 100 for line in text.splitlines())


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (2**20, "1.0 MiB"), (4 * 1_859_579_651, "7,093.7 MiB")],
)
def test_sizes_in_words(count: int, said: str) -> None:
    assert size(count) == said
