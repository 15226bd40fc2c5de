"""The shipped policy in other precisions."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hybrids import refused, tree
from rich.progress import Progress
from safetensors.torch import load_file, save_file

from mobile_vla_models import PolicyDirectoryError
from mobile_vla_models.convert.conversion import Wanted, convert
from mobile_vla_models.convert.policy import policy_source
from mobile_vla_models.data.frames import Run
from mobile_vla_models.errors import CheckpointError, ConversionError, DataError, MobileVLAError
from mobile_vla_models.policy import VLAPolicy
from mobile_vla_models.precision import uniform
from mobile_vla_models.receipt import Receipt
from policies import build, document, unwidened

SHIPPED = Path(__file__).parents[3] / "policies" / "sim_small"
PRECISIONS = ("bf16", "int8")


def runs(size: int = 96) -> list[Run]:
    coarse = np.random.default_rng(0).integers(0, 256, (2, 3, 6, 6, 3), dtype=np.uint8)
    frames = np.ascontiguousarray(coarse.repeat(size // 6, axis=2).repeat(size // 6, axis=3))
    return [Run("go to the red box", frames[0]), Run("turn left", frames[1])]


def make(source: Path, out: Path, precision: str, over: list[Run], bound: float = 0.5) -> Receipt:
    wanted = Wanted(uniform(precision), "cpu", bound, False)
    return convert(policy_source(source), wanted, over, out, Progress(disable=True))


@pytest.fixture(scope="session")
def converted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Receipt]]:
    made = {}
    for precision in PRECISIONS:
        out = tmp_path_factory.mktemp(precision) / "policy"
        made[precision] = out, make(SHIPPED, out, precision, runs())
    return made


def roll_out(policy: VLAPolicy, over: list[Run]) -> tuple[np.ndarray, np.ndarray]:
    continuous, binary = [], []
    for run in over:
        policy.reset()
        for frame in run.frames:
            chunk = policy.step(frame, run.instruction)
            continuous.append(chunk.continuous)
            binary.append(chunk.binary)
    return np.stack(continuous), np.stack(binary)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_shipped_policy_drives_in_fewer_bits(converted: dict[str, tuple[Path, Receipt]], precision: str) -> None:
    directory, receipt = converted[precision]
    before, after = (roll_out(unwidened(VLAPolicy.from_pretrained(path)), runs()) for path in (SHIPPED, directory))
    errors = np.abs(after[0] - before[0])
    for number, action in enumerate(receipt.actions):
        np.testing.assert_allclose(action.maximum, errors[..., number].max(), rtol=1e-3, atol=1e-6)
        np.testing.assert_allclose(action.mean, errors[..., number].mean(), rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(receipt.binary, np.abs(after[1] - before[1]).max(), rtol=1e-3, atol=1e-6)
    assert receipt.binary > 0.0
    assert 0.0 < receipt.worst < 0.1
    assert (receipt.source, receipt.frames, receipt.runs) == ("sim_small", 6, 2)
    weights = SHIPPED / "model.safetensors"
    assert receipt.sha256 == hashlib.sha256(weights.read_bytes()).hexdigest()
    # Beside integers the head stays float32.
    assert receipt.disk == (directory / "model.safetensors").stat().st_size < 0.6 * weights.stat().st_size


def test_all_else_is_as_it_was(converted: dict[str, tuple[Path, Receipt]]) -> None:
    directory, _ = converted["int8"]
    original, made = (json.loads((path / "config.json").read_text()) for path in (SHIPPED, directory))
    assert made.pop("precision") == {"vision": "int8", "text": "int8", "clip": "int8", "head": "fp32"}
    original.pop("precision")
    assert made == original
    assert json.loads((directory / "training.json").read_text()) == json.loads((SHIPPED / "training.json").read_text())
    assert (directory / "tokenizer_clip").is_dir()
    exact, found = (load_file(path / "model.safetensors") for path in (SHIPPED, directory))
    heads = [name for name in exact if name.startswith(("head.", "fusion."))]
    assert heads
    assert all(torch.equal(exact[name], found[name]) for name in heads)


def test_the_golden_vectors_are_its_own(converted: dict[str, tuple[Path, Receipt]], tmp_path: Path) -> None:
    directory, _ = converted["bf16"]
    golden = load_file(directory / "golden.safetensors")
    assert not torch.equal(golden["continuous"], load_file(SHIPPED / "golden.safetensors")["continuous"])
    copy = tmp_path / "policy"
    shutil.copytree(directory, copy)
    golden["continuous"][2, 0, 0] += 0.5
    save_file(golden, copy / "golden.safetensors")
    with pytest.raises(PolicyDirectoryError, match="continuous differs"):
        VLAPolicy.from_pretrained(copy)


def test_what_is_in_fewer_bits_can_be_rounded_further(
    converted: dict[str, tuple[Path, Receipt]], tmp_path: Path
) -> None:
    """Of a bfloat16 policy, against that one; nothing else is lost than by rounding its weights."""
    receipt = make(converted["bf16"][0], tmp_path / "policy", "int8", runs())
    assert 0.0 < receipt.worst < 0.1
    VLAPolicy.from_pretrained(tmp_path / "policy")


def test_what_is_rounded_is_not_rounded_again(converted: dict[str, tuple[Path, Receipt]], tmp_path: Path) -> None:
    with refused(tmp_path, ConversionError, "vision, text, clip are quantised; convert what they were made of"):
        make(converted["int8"][0], tmp_path / "policy", "bf16", runs())


def test_it_is_not_written_over_itself(tmp_path: Path) -> None:
    policy = shutil.copytree(SHIPPED, tmp_path / "policy")
    before = tree(policy)
    with pytest.raises(ConversionError, match="holds what is converted"):
        make(policy, policy, "int8", runs())
    assert tree(policy) == before


def test_one_that_speaks_has_no_head_to_measure(tmp_path: Path) -> None:
    build(document("kosmos2", "discrete", "post")).save_pretrained(tmp_path / "speaks", {}, "# speaks\n")
    with refused(tmp_path, ConversionError, "speaks its actions"):
        make(tmp_path / "speaks", tmp_path / "policy", "bf16", runs(16))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"state": [{"name": "speed", "unit": "m/s", "mean": 0.1, "std": 0.3}]}, "no state, the policy takes"),
        ({"cameras": ["front", "hand"]}, "pictures of cameras"),
    ],
)
def test_frames_that_lack_what_the_policy_takes(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    prompt = "<s>{hand}{front}{instruction}{action}</s>" if "cameras" in changes else None
    prompt = prompt or "<s>{front}{state}{instruction}{action}</s>"
    build(document("kosmos2", "lstm", "post", prompt=prompt, **changes)).save_pretrained(tmp_path / "p", {}, "# p\n")
    with refused(tmp_path, DataError, message):
        make(tmp_path / "p", tmp_path / "policy", "bf16", runs(16))


def test_policies_of_other_families_and_histories(tmp_path: Path) -> None:
    """Measured by what their heads see, with a fusion and without."""
    build(document("paligemma", "gpt", "pre")).save_pretrained(tmp_path / "p", {}, "# p\n")
    size = VLAPolicy.from_pretrained(tmp_path / "p").config.image.size
    frames = np.random.default_rng(0).integers(0, 256, (4, size, size, 3), dtype=np.uint8)
    receipt = make(tmp_path / "p", tmp_path / "policy", "int8", [Run("turn left now", frames)], bound=10.0)
    assert receipt.features is not None
    assert 0.0 < receipt.features < 0.5
    VLAPolicy.from_pretrained(tmp_path / "policy")


@pytest.mark.parametrize("gone", ["model.safetensors", "config.json", "tokenizer", "training.json"])
def test_a_directory_that_lacks_something(tmp_path: Path, gone: str) -> None:
    copy = tmp_path / "p"
    shutil.copytree(SHIPPED, copy)
    (shutil.rmtree if (copy / gone).is_dir() else Path.unlink)(copy / gone)
    with refused(tmp_path, PolicyDirectoryError, f"lacks {gone}"):
        make(copy, tmp_path / "policy", "bf16", runs())


@pytest.mark.parametrize("damage", ["weights", "training", "shape"])
def test_a_directory_that_is_damaged(tmp_path: Path, damage: str) -> None:
    copy = tmp_path / "p"
    shutil.copytree(SHIPPED, copy)
    kind: type[MobileVLAError]
    if damage == "weights":
        (copy / "model.safetensors").write_bytes(b"")
        kind, message = CheckpointError, r"model\.safetensors"
    elif damage == "training":
        (copy / "training.json").write_text("{")
        kind, message = PolicyDirectoryError, r"training\.json: not a readable JSON file"
    else:
        tensors = load_file(copy / "model.safetensors")
        tensors["head.rnn.bias_hh_l0"] = torch.zeros(5)
        save_file(tensors, copy / "model.safetensors")
        kind, message = ConversionError, r"head\.rnn\.bias_hh_l0 has shape \(5,\), expected \(768,\)"
    with refused(tmp_path, kind, message):
        make(copy, tmp_path / "policy", "bf16", runs())


def test_the_original_is_left_as_it_is(tmp_path: Path) -> None:
    copy = tmp_path / "p"
    shutil.copytree(SHIPPED, copy)
    before = tree(copy)
    make(copy, tmp_path / "policy", "fp16", runs())
    assert tree(copy) == before
