"""`mobile-vla export` in fewer bits: its receipt, and what it refuses to leave."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from exported import build_at
from PIL import Image
from rich.progress import Progress
from typer.testing import CliRunner, Result

from mobile_vla_models.convert import export as export_module
from mobile_vla_models.data.frames import read_runs
from mobile_vla_models.engine import onnx_export
from mobile_vla_models.engine.onnx_engine import OnnxEngine
from mobile_vla_models.engine.onnx_graphs import Graph
from mobile_vla_models.engine.onnx_manifest import GraphFile, read_export
from mobile_vla_models.engine.onnx_weights import WeightFile
from mobile_vla_models.hashing import sha256_of
from mobile_vla_models.memory import resident_bytes
from mobile_vla_models.modeling import VLAModel
from mobile_vla_models.policy import VLAPolicy
from mobile_vla_models.policy_directory import load_policy
from mobile_vla_models.receipt import Receipt
from mobile_vla_ros.cli.program import app
from policies import document

FRAMES, SENTENCE = 3, "go to the red box"


def pictures(folder: Path) -> Path:
    folder.mkdir()
    (folder / "instruction.txt").write_text(SENTENCE + "\n")
    rng = np.random.default_rng(0)
    for number in range(FRAMES):
        coarse = rng.integers(0, 256, (3, 4, 3), dtype=np.uint8)
        Image.fromarray(coarse.repeat(8, axis=0).repeat(8, axis=1)).save(folder / f"{number}.png")
    return folder


def export(policy: Path, *options: str) -> Result:
    return CliRunner().invoke(app, ["export", str(policy), *options], env={"COLUMNS": "200"})


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def policy_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy whose decoder takes pages, not exported."""
    content = document("kosmos2", "lstm", "post")
    content["backbone"]["config"]["text_config"]["ffn_dim"] = 32768
    return build_at(tmp_path_factory.mktemp("receipt") / "policy", content)


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pictures(tmp_path_factory.mktemp("frames") / "pictures")


@pytest.fixture(scope="module")
def made(policy_path: Path, frames: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, list[float]]:
    """An export beyond its bound, forced; what was said; which share of a tower was in memory when it ran."""
    resident: list[float] = []

    def watched(root: Path, model: VLAModel, threads: int, folder: Path) -> OnnxEngine:
        layer = model.backbone.model.text_model.model.layers[0].ffn.fc1.weight
        resident.append(resident_bytes(layer) / layer.nbytes)
        return OnnxEngine(root, model, threads, folder)

    out = tmp_path_factory.mktemp("made") / "int8"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export_module, "OnnxEngine", watched)
        options = ["--dtype", "int8", "--frames", str(frames), "--out", str(out), "--max-action-error", "0", "--force"]
        result = export(policy_path, *options)
    assert result.exit_code == 0, result.output
    return out, result.output, resident


def test_the_receipt_is_what_both_give(policy_path: Path, frames: Path, made: tuple[Path, str, list[float]]) -> None:
    folder, said, _ = made
    receipt = Receipt.load(folder)
    assert receipt is not None
    policy = VLAPolicy(load_policy(policy_path).parts)
    config = policy.config
    (run,) = read_runs(frames, config.image, config.dt, 16)
    chunks = {}
    for name in ("torch", "onnx"):
        if name == "onnx":
            policy.engine = OnnxEngine(policy_path, policy.model, 1, folder)
        policy.reset()
        chunks[name] = [policy.step(frame, SENTENCE) for frame in run.frames]
    errors = np.abs(
        np.stack([chunk.continuous for chunk in chunks["onnx"]])
        - np.stack([chunk.continuous for chunk in chunks["torch"]])
    )
    shares = errors.max(axis=(0, 1)) / (config.action.maximum - config.action.minimum)
    assert [error.share for error in receipt.actions] == pytest.approx(shares.tolist(), rel=0.01)
    assert 1e-6 < receipt.worst < 0.05
    assert receipt.features is not None
    assert 1e-6 < receipt.features < 0.05
    assert (receipt.frames, receipt.runs, receipt.not_finite) == (FRAMES, 1, 0.0)
    assert (receipt.bound, receipt.forced) == (0.0, True)
    assert receipt.precision.summary == "vision w8a8, text w8a8, clip w8a8, head fp32"
    assert receipt.sha256 == sha256_of(policy_path / "model.safetensors")
    assert receipt.disk == sum(path.stat().st_size for path in folder.iterdir() if path.suffix in (".onnx", ".data"))
    assert f"{receipt.worst:.2%}" in said
    assert "forced: beyond the bound of 0.0%" in said
    assert isinstance(policy.engine, OnnxEngine)
    assert policy.engine.receipt == receipt


def test_the_towers_left_memory_before_their_export_ran(made: tuple[Path, str, list[float]]) -> None:
    (share,) = made[2]
    assert share < 0.5


def test_beyond_the_bound_nothing_is_left(
    policy_path: Path,
    frames: Path,
    made: tuple[Path, str, list[float]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    exported = read_export(made[0], policy_path / "model.safetensors")

    def write_again(graph: Graph, weights: WeightFile, folder: Path, progress: Progress, *, rounded: bool) -> GraphFile:
        """Tracing takes seconds."""
        for name in exported.graphs[graph.name].files:
            shutil.copy(made[0] / name, folder)
        return exported.graphs[graph.name]

    monkeypatch.setattr(onnx_export, "_write", write_again)
    before = tree(policy_path)
    out = tmp_path / "int8"
    result = export(
        policy_path, "--dtype", "int8", "--frames", str(frames), "--max-action-error", "0", "--out", str(out)
    )
    assert result.exit_code == 1
    assert "--max-action-error" in str(result.exception)
    assert list(tmp_path.iterdir()) == []
    assert tree(policy_path) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--dtype", "int8"], "is lossy"),
        (["--dtype", "fp16", "--force"], "is lossy"),
        (["--frames", "."], "loses nothing"),
    ],
)
def test_frames_are_for_what_loses_something(policy_path: Path, options: list[str], message: str) -> None:
    before = tree(policy_path)
    result = export(policy_path, *options)
    assert result.exit_code == 2
    assert message in result.output
    assert tree(policy_path) == before


def test_a_policy_without_lean_step_is_refused_before_its_frames_are_read(tmp_path: Path) -> None:
    path = build_at(tmp_path / "policy", document("llava", "lstm", "post"))
    result = export(path, "--dtype", "int8", "--frames", str(tmp_path / "nowhere"))
    assert "its backbone is llava" in str(result.exception)


def test_frames_that_are_no_frames(policy_path: Path, tmp_path: Path) -> None:
    result = export(policy_path, "--dtype", "int8", "--frames", str(tmp_path), "--out", str(tmp_path / "int8"))
    assert result.exit_code == 1
    assert str(tmp_path) in str(result.exception)
    assert not (tmp_path / "int8").exists()
