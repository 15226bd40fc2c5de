"""`mobile-vla convert inspect`, `hybrid` and `precision`, from the command line to a policy that drives."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hybrids import SCALE, WINDOW, Hybrids, runs, tree
from PIL import Image
from typer.testing import CliRunner

from mobile_vla_models.policy import VLAPolicy
from mobile_vla_models.receipt import Receipt
from mobile_vla_ros.cli.program import app, main

WIDE = {"COLUMNS": "240"}
FRAMES = 4


@pytest.fixture(scope="session")
def hybrids(tmp_path_factory: pytest.TempPathFactory) -> Hybrids:
    return Hybrids(tmp_path_factory.mktemp("hybrids"))


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "instruction.txt").write_text("go to the red box\n")
    for number, frame in enumerate(runs(1, FRAMES)[0].frames):
        Image.fromarray(frame).resize((60, 40)).save(folder / f"{number}.png")
    return folder


def arguments(hybrids: Hybrids, pictures: Path, out: Path) -> list[str]:
    """A whole command."""
    said = {
        "dtype": "int8",
        "frames": pictures,
        "fusion-inputs": "backbone,clip_image_raw",
        "read-out": "all:mean",
        "fusion-activation": "none",
        "activation": "relu",
        "actions": "linear_x:m/s,angular_z:rad/s",
        "action-scale": SCALE,
        "dt": 0.4,
        "window": WINDOW,
        "normalisation": "imagenet",
        "interpolation": "bilinear",
        "prompt": "<s>{front}{instruction}</s>",
        "tokenizer": hybrids.folder / "tokenizer",
        "kosmos-config": hybrids.kosmos_config,
        "clip-config": hybrids.clip_config,
    }
    options = [part for name, value in said.items() for part in (f"--{name}", str(value))]
    return ["convert", "hybrid", str(hybrids.checkpoint()), str(out), "--final-tanh", *options]


@pytest.fixture(scope="session")
def made(hybrids: Hybrids, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A policy that the command made, and what it said."""
    folder = tmp_path_factory.mktemp("made")
    limits = folder / "limits.yaml"
    limits.write_text(
        yaml.safe_dump(
            {
                "linear_x_min": 0.0,
                "linear_x_max": 0.5,
                "angular_z_max": 1.0,
                "linear_acceleration": 1.0,
                "angular_acceleration": 3.0,
                "linear_jerk": 10.0,
                "angular_jerk": 30.0,
            }
        )
    )
    command = [*arguments(hybrids, pictures, folder / "policy"), "--limits", str(limits), "--vision", "bf16"]
    result = CliRunner().invoke(app, command, env=WIDE)
    assert result.exit_code == 0, result.output
    return folder / "policy", result.output


def refusal(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], code: int = 2
) -> str:
    """What the program says on standard error, with exit code 2 and no traceback."""
    monkeypatch.setattr("sys.argv", ["mobile-vla", *command])
    monkeypatch.setenv("COLUMNS", "240")
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        main()
    said = capsys.readouterr().err
    assert caught.value.code == code
    assert "Traceback" not in said
    return said


def test_hybrid_makes_a_policy_that_drives(made: tuple[Path, str], pictures: Path) -> None:
    directory, said = made
    policy = VLAPolicy.from_pretrained(directory)
    assert policy.config.action.limits is not None
    assert policy.config.action.limits.linear_x_max == 0.5
    precision = policy.config.precision
    assert [str(getattr(precision, part).value) for part in ("vision", "text", "clip", "head")] == [
        "bf16",
        "int8",
        "int8",
        "fp32",
    ]
    chunk = policy.step(np.zeros((48, 64, 3), np.uint8), "stop")
    assert chunk.continuous.shape == (1, 2)
    assert np.isfinite(chunk.continuous).all()
    receipt = Receipt.load(directory)
    assert receipt is not None
    assert (receipt.frames, receipt.runs) == (FRAMES, 1)
    assert f"{receipt.parameters:,}" in said
    assert receipt.sha256 in said
    assert f"{receipt.actions[1].share:.2%}" in said
    assert f"policy written to {directory}" in said.replace("\n", "")
    assert "tensors left out: no --fusion-inputs of clip_text" in said
    assert "no limits of a base" not in said


def test_precision_makes_another_of_it(
    made: tuple[Path, str], pictures: Path, hybrids: Hybrids, tmp_path: Path
) -> None:
    hybrids.convert(hybrids.checkpoint(), tmp_path / "exact")
    options = ["--dtype", "bf16", "--head", "fp32", "--frames", str(pictures), "--frame-count", "2"]
    command = ["convert", "precision", str(tmp_path / "exact"), str(tmp_path / "policy"), *options]
    result = CliRunner().invoke(app, command, env=WIDE)
    assert result.exit_code == 0, result.output
    policy = VLAPolicy.from_pretrained(tmp_path / "policy")
    assert policy.model.dtype == torch.bfloat16
    receipt = Receipt.load(tmp_path / "policy")
    assert receipt is not None
    assert receipt.frames == 2
    assert policy.model.head is not None
    assert {parameter.dtype for parameter in policy.model.head.parameters()} == {torch.float32}


def test_inspect_writes_everything_down(hybrids: Hybrids, tmp_path: Path) -> None:
    file = tmp_path / "found.json"
    result = CliRunner().invoke(app, ["convert", "inspect", str(hybrids.checkpoint()), "--json", str(file)], env=WIDE)
    assert result.exit_code == 0, result.output
    document = json.loads(file.read_text())
    assert document
    text = json.dumps(document)
    for part in ("kosmos_model", "clip_model", "feature_fusion", "rnn", "actions.mlp"):
        assert part in text
        assert part in result.output


def test_inspect_refuses_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model.pth").write_bytes(b"no checkpoint")
    said = refusal(["convert", "inspect", str(tmp_path / "model.pth")], monkeypatch, capsys)
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert "model.pth" in said


def test_hybrid_asks_everything_that_is_open_at_once(
    hybrids: Hybrids,
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    configs = ["--kosmos-config", str(hybrids.kosmos_config), "--clip-config", str(hybrids.clip_config)]
    command = ["convert", "hybrid", str(hybrids.checkpoint()), str(tmp_path / "policy"), "--dtype", "int8"]
    said = refusal([*command, "--frames", str(pictures), *configs], monkeypatch, capsys)
    assert said.startswith("error: no tensor shows this, so it has to be said:")
    assert "feature_fusion takes 160 inputs" in said
    for option in ("--activation", "--final-tanh", "--actions", "--dt", "--window", "--prompt", "--tokenizer"):
        assert option in said
    assert tree(tmp_path) == {}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["--actions", "x:m/s,y:m/s,z:rad/s"], "no multiple of the 3 --actions"),
        (["--fusion-inputs", "backbone,clip_similarity"], "clip_similarity: unknown"),
        (["--head", "int8"], "fp32, fp16 or bf16"),
        (["--device", "toaster"], "device 'toaster' is none"),
        (["--device", "cuda:99"], "cuda:99"),
        (["--dtype", "int2"], "int2"),
        (["--dtype", "int4"], "got 48"),
        (["--frames", "/no/such/folder"], "/no/such/folder"),
        (["--window", "0"], "window"),
        (["--frame-count", "1"], "frame-count"),
        (["--tokenizer", "/no/such/tokenizer"], "not a readable tokenizer"),
        (["--kosmos-config", "/no/such.json"], "/no/such.json"),
        (["--limits", "/no/such.yaml"], "/no/such.yaml"),
        (["--max-action-error", "0"], "--force"),
    ],
)
def test_hybrid_refuses_without_a_trace(
    hybrids: Hybrids,
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    changes: list[str],
    message: str,
) -> None:
    said = refusal([*arguments(hybrids, pictures, tmp_path / "policy"), *changes], monkeypatch, capsys)
    assert message in said
    assert tree(tmp_path) == {}


def test_precision_of_what_is_rounded_is_refused(
    made: tuple[Path, str],
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = ["convert", "precision", str(made[0]), str(tmp_path / "policy"), "--dtype", "bf16"]
    said = refusal([*command, "--frames", str(pictures)], monkeypatch, capsys)
    assert "text, clip are quantised" in said
    assert said.count("\n") == 1
    assert tree(tmp_path) == {}
