"""The ONNX engine against torch's, over runs longer than the window."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from exported import LONG, SHORT, build_at, everything, export_quietly, run, store_as_bfloat16

from mobile_vla_models.engine.onnx_engine import OnnxEngine
from mobile_vla_models.engine.torch_engine import TorchEngine
from mobile_vla_models.errors import PolicyDirectoryError
from mobile_vla_models.memory import resident_bytes
from mobile_vla_models.memory.pages import mapped_files
from mobile_vla_models.policy import VLAPolicy
from mobile_vla_models.policy_directory import load_policy
from mobile_vla_models.weights import change_dtype
from policies import HEADS, build, document

PROMPT = "<s>{front}{instruction}</s>"


def _pooled(source: str, pooling: str) -> dict[str, Any]:
    return {"readout": {"type": "pooled", "source": source, "pooling": pooling, "tokens": 1}, "prompt": PROMPT}


ACTION = document("kosmos2", "lstm", "post")["action"]
KINDS: dict[str, dict[str, Any]] = {
    "two cameras, the mean of all, no fusion": {
        **document("kosmos2", "fc", "post", **_pooled("all", "mean")),
        "cameras": ["front", "rear"],
        "prompt": "<s>{rear}{front}{instruction}</s>",
    },
    "the first word, concatenated": {
        **document("kosmos2", "gpt", "post", **_pooled("text", "first")),
        "fusion": {"type": "concat", "features": ["backbone", "backbone_image", "backbone_vision"], "layers": [16]},
    },
    "the greatest of the words, one frame, nothing binary": {
        **document("kosmos2", "lstm", "none", **_pooled("text", "max")),
        "head": {**HEADS["lstm"], "num_layers": 3},
        "action": {**ACTION, "binary": []},
    },
}


def _compare(path: Path, policy: VLAPolicy, rtol: float = 1e-4, atol: float = 1e-6) -> None:
    engine, reference = OnnxEngine(path, policy.model, threads=1), TorchEngine(policy.model)
    frames = policy.config.window + 3
    answers = []
    for text in (SHORT, LONG, SHORT):
        expected, found = run(reference, policy, text, frames), run(engine, policy, text, frames)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=rtol, atol=atol)
        answers.append(found[0])
    # The words reached the graphs, and one run left nothing for the next.
    assert np.abs(answers[0] - answers[1]).max() > 10 * atol
    np.testing.assert_array_equal(answers[0], answers[2])


@pytest.fixture(scope="module")
def policy_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy with everything, exported; tests only read it."""
    return everything(tmp_path_factory)


def test_fp32_is_torch(policy_path: Path) -> None:
    policy = VLAPolicy.from_pretrained(policy_path)
    _compare(policy_path, policy)
    engine = OnnxEngine(policy_path, policy.model, threads=1)
    assert (engine.name, engine.exact) == ("onnx", True)
    assert "fp32" in engine.describe()
    assert "on the CPU, 1 threads" in engine.describe()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_policy_is_torch(tmp_path: Path, kind: str) -> None:
    path = build_at(tmp_path / "policy", KINDS[kind])
    export_quietly(path)
    _compare(path, VLAPolicy.from_pretrained(path))


def test_weights_in_bfloat16_are_computed_with_in_float32(tmp_path: Path) -> None:
    content = document("kosmos2", "fc", "post", **_pooled("all", "last"))
    path = build_at(tmp_path / "policy", content)
    store_as_bfloat16(path)
    export_quietly(path)
    policy = VLAPolicy(load_policy(path).parts)
    change_dtype(policy.model, torch.float32)
    _compare(path, policy)


@pytest.fixture(scope="module")
def small_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy with few graphs, not exported."""
    content = {**document("kosmos2", "lstm", "post"), "readout": {"type": "action_token", "tokens": 2}}
    return build_at(tmp_path_factory.mktemp("small") / "policy", content)


@pytest.mark.parametrize(("dtype", "share"), [("fp16", 2e-3), ("int8", 5e-3)])
def test_fewer_bits_are_close(small_path: Path, tmp_path: Path, dtype: str, share: float) -> None:
    """Within a share of the actions' range, which goes from -1 to 1, and not exact: the bits are fewer."""
    policy = VLAPolicy.from_pretrained(small_path)
    folder = export_quietly(small_path, dtype, tmp_path / dtype)  # type: ignore[arg-type]
    engine = OnnxEngine(small_path, policy.model, 1, folder)
    assert not engine.exact
    expected, found = (run(each, policy, LONG, 7)[0] for each in (TorchEngine(policy.model), engine))
    error = np.abs(found - expected).max() / 2
    assert 1e-7 < error < share


def test_the_towers_of_the_model_stay_in_their_file(policy_path: Path) -> None:
    """Of the model itself a run takes the words' rows."""
    policy = VLAPolicy(load_policy(policy_path, weights="mapped").parts)
    run(OnnxEngine(policy_path, policy.model, 1), policy, SHORT, 2)
    layer = policy.model.backbone.model.text_model.model.layers[0].ffn.fc1.weight
    assert layer.nbytes >= 2**20
    # What the kernel maps around a fault elsewhere may reach into it.
    assert resident_bytes(layer) < layer.nbytes // 2
    run(TorchEngine(policy.model), policy, SHORT, 2)
    assert resident_bytes(layer) == layer.nbytes


@pytest.mark.parametrize("weights", ["memory", "mapped"])
def test_a_change_of_the_directory_does_not_reach_a_run(policy_path: Path, tmp_path: Path, weights: str) -> None:
    folder = tmp_path / "policy"
    shutil.copytree(policy_path, folder)
    policy = VLAPolicy.from_pretrained(folder, engine="onnx", weights=weights)
    picture = np.zeros((16, 16, 3), np.uint8)
    pictures = dict.fromkeys(policy.config.cameras[1:], picture)
    before = policy.step(picture, SHORT, extra_cameras=pictures).continuous
    mapped = {Path(name).name for name in mapped_files() if name.startswith(f"{folder}/")}
    layers = policy.model.backbone.model.text_model.model.layers.parameters()
    assert {layer.is_meta for layer in layers} == {weights == "memory"}
    policy.reset()
    if weights == "memory":
        assert not mapped
        shutil.rmtree(folder)
        np.testing.assert_array_equal(policy.step(picture, SHORT, extra_cameras=pictures).continuous, before)
        return
    assert {"model.safetensors", "text.data"} <= mapped
    with pytest.raises(BlockingIOError):
        os.close(os.open(folder / "onnx" / "text.data", os.O_WRONLY | os.O_NONBLOCK))
    with pytest.raises(PolicyDirectoryError, match=r"text\.data was opened for writing while the policy was in use"):
        policy.step(picture, SHORT, extra_cameras=pictures)


def test_wrong_shapes_do_not_reach_the_session(policy_path: Path) -> None:
    policy = VLAPolicy.from_pretrained(policy_path)
    parts = OnnxEngine(policy_path, policy.model, 1)._parts
    with pytest.raises(ValueError, match=r"vision\.onnx: pixels has shape \(1, 3, 8, 8\), expected \(1, 3, 16, 16\)"):
        parts.see(torch.zeros(1, 3, 8, 8))


def _break(folder: Path, how: str) -> str:
    """Damage a copy of the policy; what the error must say."""
    onnx = folder / "onnx"
    made = json.loads((onnx / "export.json").read_text())
    if how == "no export":
        shutil.rmtree(onnx)
        return r"export\.json does not exist"
    if how == "other weights":
        data = bytearray((folder / "model.safetensors").read_bytes())
        data[-1] ^= 1
        (folder / "model.safetensors").write_bytes(data)
        return "exported from other weights"
    if how == "file missing":
        (onnx / "text.data").unlink()
        return r"text\.data does not exist"
    if how == "file cut":
        (onnx / "head.onnx").write_bytes((onnx / "head.onnx").read_bytes()[:-1])
        return r"head\.onnx has \d+ bytes, expected"
    if how == "graph damaged":
        size = (onnx / "head.onnx").stat().st_size
        (onnx / "head.onnx").write_bytes(b"\xff" * size)
        return r"head\.onnx: ONNX Runtime .* does not load it"
    made["version" if how == "version" else "colour"] = 7
    (onnx / "export.json").write_text(json.dumps(made))
    return "version is 7, expected 1" if how == "version" else "colour"


@pytest.mark.parametrize(
    "how", ["no export", "other weights", "file missing", "file cut", "graph damaged", "version", "unknown key"]
)
def test_what_does_not_belong_is_refused(policy_path: Path, tmp_path: Path, how: str) -> None:
    folder = tmp_path / "policy"
    shutil.copytree(policy_path, folder)
    message = _break(folder, how)
    with pytest.raises(PolicyDirectoryError, match=message):
        OnnxEngine(folder, build(document("kosmos2", "fc", "post")).model, 1)
