"""Policy directories for tests of the ONNX engine, and runs of engines on them."""

from __future__ import annotations

import copy
import functools
import json
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from onnxscript._framework_apis import torch_2_11
from rich.progress import Progress
from safetensors.torch import load_file, save_file
from tiny import tiny_document

from mobile_vla_models.engine import onnx_export
from mobile_vla_models.engine.onnx_manifest import Dtype
from mobile_vla_models.modeling import EncodedInstruction
from mobile_vla_models.policy import VLAPolicy
from mobile_vla_models.precision import uniform
from policies import build, document

_tiny = tiny_document()
EVERYTHING = {key: _tiny[key] for key in ("prompt", "clip", "fusion", "image", "backbone")}
SHORT, LONG = "stop", "drive to the blue cone go to the red box turn left now"


# torch.onnx.export looks up all of torch's operators anew for each graph, which takes longer than a small graph.
torch_2_11.get_torchlib_ops = functools.cache(torch_2_11.get_torchlib_ops)


class Engine(Protocol):
    def begin(self, instruction: EncodedInstruction) -> Any: ...


def save(policy: VLAPolicy, path: Path) -> Path:
    policy.save_pretrained(path, {}, "# tiny\n")
    return path


def build_at(path: Path, content: dict[str, Any]) -> Path:
    return save(build(content), path)


def store_as_bfloat16(path: Path) -> None:
    """Make a policy directory what a conversion to bf16 leaves."""
    weights = {name: tensor.bfloat16() for name, tensor in load_file(path / "model.safetensors").items()}
    save_file(weights, path / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((path / "config.json").read_text())
    config["precision"] = uniform("bf16").model_dump(mode="json")
    (path / "config.json").write_text(json.dumps(config))


def export_quietly(path: Path, dtype: Dtype = "fp32", directory: Path | None = None) -> Path:
    with Progress(disable=True) as progress:
        return onnx_export.export(path, dtype, progress, directory)


def only(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Leave the other graphs out of exports: tracing takes seconds."""
    found = onnx_export.lean_graphs
    monkeypatch.setattr(
        onnx_export, "lean_graphs", lambda config: [graph for graph in found(config) if graph.name in names]
    )


def everything(factory: pytest.TempPathFactory) -> Path:
    """A policy with all graphs, exported once for all tests that only read it; its decoder's FFN takes pages."""
    path = factory.getbasetemp() / "everything"
    if not path.exists():
        content = copy.deepcopy(document("kosmos2", "lstm", "post", **EVERYTHING))
        content["backbone"]["config"]["text_config"]["ffn_dim"] = 32768
        export_quietly(build_at(path, content))
    return path


def run(engine: Engine, policy: VLAPolicy, text: str, frames: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Both groups of actions over a run."""
    config = policy.config
    rng = np.random.default_rng(0)
    size = config.image.size
    pictures = rng.integers(0, 256, (frames, len(config.cameras), size, size, 3), dtype=np.uint8)
    with torch.inference_mode():
        history = engine.begin(policy.encoder(policy.model, [text]))
        steps = [history.step(torch.from_numpy(frame), None) for frame in pictures]
    continuous, binary = (np.stack([part.float().numpy() for part in parts]) for parts in zip(*steps, strict=True))
    return continuous, binary
