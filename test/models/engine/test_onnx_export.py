"""Exported graphs: what is in them, what is refused, and what an export needs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import onnx
import pytest
import torch
from exported import build_at, everything, export_quietly, only
from safetensors.torch import load_file, save_file
from tiny import tiny_document

from mobile_vla_models.checkpoint.safetensors_writer import SafetensorsWriter
from mobile_vla_models.configuration import PolicyConfig
from mobile_vla_models.errors import PolicyDirectoryError
from mobile_vla_models.hashing import sha256_of
from mobile_vla_models.memory import PeakAnonymous
from mobile_vla_models.weights import empty_model, stored_tensors
from policies import document

MB = 2**20


@pytest.fixture(scope="module")
def policy_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that is exported; tests only read it."""
    return everything(tmp_path_factory)


def test_export_says_what_it_is(policy_path: Path) -> None:
    made = json.loads((policy_path / "onnx" / "export.json").read_text())
    assert made["dtype"] == "fp32"
    assert made["sha256"] == sha256_of(policy_path / "model.safetensors")
    assert made["opset"] >= 18
    assert (made["torch"], made["onnx"]) == (torch.__version__, onnx.__version__)
    assert list(made["graphs"]) == ["vision", "text", "clip", "fusion", "head"]
    assert made["graphs"]["text"]["inputs"]["words"]["sizes"] == [1, "words", 16]
    assert made["graphs"]["vision"]["outputs"] == {"latents": [1, 3, 16], "pooled": [1, 16]}
    files = {name for graph in made["graphs"].values() for name in graph["files"]}
    assert {path.name for path in (policy_path / "onnx").iterdir()} == files | {"export.json"}


def test_norms_and_activations_are_single_nodes(policy_path: Path) -> None:
    model = onnx.load(policy_path / "onnx" / "text.onnx")
    kinds = [node.op_type for node in model.graph.node]
    # Five in the block, and the decoder's last.
    assert kinds.count("LayerNormalization") == 5
    assert kinds.count("Gelu") == 1
    assert "Erf" not in kinds
    assert "ReduceMean" not in kinds
    onnx.checker.check_model(model, full_check=True)


def test_graphs_hold_no_paths_of_the_machine(policy_path: Path) -> None:
    for path in (policy_path / "onnx").glob("*.onnx"):
        assert b"site-packages" not in path.read_bytes()
        assert b".py" not in path.read_bytes()


def test_no_weight_is_transposed_at_run_time(policy_path: Path) -> None:
    graph = onnx.load(policy_path / "onnx" / "text.onnx").graph
    weights = {tensor.name for tensor in graph.initializer}
    assert not [node for node in graph.node if node.op_type == "Transpose" and node.input[0] in weights]


def test_int8_holds_the_towers_in_bytes(policy_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, "vision", "head")
    export_quietly(policy_path, "int8", tmp_path / "int8")
    graph = onnx.load(tmp_path / "int8" / "vision.onnx").graph
    matrices = [tensor for tensor in graph.initializer if tensor.name.endswith(".u8")]
    assert {tensor.data_type for tensor in matrices} == {onnx.TensorProto.UINT8}
    # Of a block q, k, v, out, fc1, fc2; of the connector dense, k, v, out.
    assert len(matrices) == 10
    assert sum(node.op_type == "MatMulInteger" for node in graph.node) == 10
    head = onnx.load(tmp_path / "int8" / "head.onnx").graph
    assert "MatMulInteger" not in {node.op_type for node in head.node}


def test_an_older_export_is_replaced(policy_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, "head")
    shutil.copytree(policy_path / "onnx", tmp_path / "onnx")
    (tmp_path / "onnx" / "of_old").write_text("")
    export_quietly(policy_path, "fp32", tmp_path / "onnx")
    names = {path.name for path in (tmp_path / "onnx").iterdir()}
    assert names == {"export.json", "head.onnx", "head.data"}
    assert [path.name for path in tmp_path.iterdir()] == ["onnx"]


def test_a_failure_leaves_the_older_export_and_nothing_else(
    policy_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(monkeypatch, "fusion", "head")
    policy = tmp_path / "policy"
    shutil.copytree(policy_path, policy)
    weights = load_file(policy / "model.safetensors")
    # The last graph fails.
    lost = next(name for name in weights if name.startswith("head.") and name.endswith("weight_ih_l0"))
    del weights[lost]
    save_file(weights, policy / "model.safetensors")
    before = sorted(path.relative_to(policy) for path in policy.rglob("*"))
    with pytest.raises(PolicyDirectoryError, match=f"missing {lost}"):
        export_quietly(policy)
    assert sorted(path.relative_to(policy) for path in policy.rglob("*")) == before


def test_numbers_beyond_float16_are_named(policy_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, "vision")
    policy = tmp_path / "policy"
    shutil.copytree(policy_path, policy, ignore=shutil.ignore_patterns("onnx"))
    weights = load_file(policy / "model.safetensors")
    name = next(name for name in weights if "vision" in name and name.endswith("layers.0.mlp.fc1.weight"))
    weights[name][0, 0] = 1e5
    save_file(weights, policy / "model.safetensors")
    with pytest.raises(PolicyDirectoryError, match=f"{name} is not finite as torch.float16"):
        export_quietly(policy, "fp16")
    assert not (policy / "onnx").exists()


def test_another_folder_is_left_alone(policy_path: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(PolicyDirectoryError, match="is not an export"):
        export_quietly(policy_path, "fp32", tmp_path / "mine")
    assert (tmp_path / "mine").exists()


def test_unknown_dtype(policy_path: Path) -> None:
    with pytest.raises(ValueError, match="fp32, fp16, int8, got 'int4'"):
        export_quietly(policy_path, "int4")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("family", "head", "history", "reason"),
    [("kosmos2", "lstm", "pre", "its history is pre"), ("llava", "lstm", "post", "its backbone is llava")],
)
def test_a_policy_without_lean_step_is_refused(
    tmp_path: Path, family: str, head: str, history: str, reason: str
) -> None:
    path = build_at(tmp_path / "policy", document(family, head, history))
    with pytest.raises(PolicyDirectoryError, match=reason):
        export_quietly(path)
    assert not (path / "onnx").exists()


def test_a_quantised_policy_is_refused_by_name(policy_path: Path, tmp_path: Path) -> None:
    policy = tmp_path / "policy"
    shutil.copytree(policy_path, policy, ignore=shutil.ignore_patterns("onnx"))
    config = json.loads((policy / "config.json").read_text())
    config["precision"]["text"] = "int4"
    (policy / "config.json").write_text(json.dumps(config))
    with pytest.raises(PolicyDirectoryError, match=r"precision\.text is int4"):
        export_quietly(policy)


@pytest.mark.parametrize("dtype", ["fp32", "int8"])
def test_memory_stays_below_the_weights(
    policy_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: str
) -> None:
    """A large table of words is in no graph, and large matrices go through one at a time."""
    only(monkeypatch, "text")
    content = tiny_document()
    kosmos = content["backbone"]["config"]  # type: ignore[index]
    kosmos["text_config"] |= {"vocab_size": 400_000, "embed_dim": 256, "ffn_dim": 8192, "layers": 12}
    config = PolicyConfig.model_validate({**content, "clip": None, "fusion": None})
    policy = tmp_path / "policy"
    shutil.copytree(policy_path, policy, ignore=shutil.ignore_patterns("onnx"))
    (policy / "config.json").write_text(config.model_dump_json())
    tensors = {name: (each.dtype, tuple(each.shape)) for name, each in stored_tensors(empty_model(config)).items()}
    # Holes of a file read as zeros, and take no room.
    with pytest.raises(ValueError, match="were written"), SafetensorsWriter(policy / "model.safetensors", tensors):
        pass
    assert (policy / "model.safetensors").stat().st_size > 590 * MB
    with PeakAnonymous() as memory:
        export_quietly(policy, dtype)  # type: ignore[arg-type]
    if memory.peak is None or memory.before is None:
        pytest.skip("no /proc")
    data = (policy / "onnx" / "text.data").stat().st_size
    assert data > (200 if dtype == "fp32" else 50) * MB
    # What tracing takes of itself, and a few matrices of 8 MB.
    assert memory.peak - memory.before < 128 * MB
