"""The policy directory is strict to read, and whole or absent after a write."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from tiny import tiny_policy

from mobile_vla_models import PolicyDirectoryError, VLAPolicy
from mobile_vla_models.policy_entries import ENTRIES

FRAME = np.random.default_rng(1).integers(0, 256, (12, 20, 3), dtype=np.uint8)


def test_round_trip(policy: VLAPolicy, policy_dir: Path) -> None:
    loaded = VLAPolicy.from_pretrained(policy_dir)
    expected = policy.step(FRAME, "go to the red box")
    found = loaded.step(FRAME, "go to the red box")
    np.testing.assert_allclose(found.velocity, expected.velocity, atol=1e-6)
    np.testing.assert_allclose(found.stop, expected.stop, atol=1e-6)
    assert loaded.config == policy.config


def test_missing_directory(tmp_path: Path) -> None:
    with pytest.raises(PolicyDirectoryError, match="nowhere does not exist"):
        VLAPolicy.from_pretrained(tmp_path / "nowhere")


@pytest.mark.parametrize("name", [name for name in ENTRIES if "." in name])
def test_missing_file(policy_dir: Path, name: str) -> None:
    (policy_dir / name).unlink()
    with pytest.raises(PolicyDirectoryError, match=f"lacks {name}"):
        VLAPolicy.from_pretrained(policy_dir)


@pytest.mark.parametrize("name", ["model.safetensors", "golden.safetensors"])
def test_corrupt_file(policy_dir: Path, name: str) -> None:
    (policy_dir / name).write_bytes(b"not a tensor")
    with pytest.raises(PolicyDirectoryError, match=name):
        VLAPolicy.from_pretrained(policy_dir)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["surprise"], 1, "surprise"),
        (["action", "limits", "linear_x_max"], -1.0, "linear_x_max"),
        (["backbone", "config", "text_config", "layerz"], 2, r"backbone\.config\.text_config\.layerz"),
        (["clip", "config", "projection_dimm"], 2, r"clip\.config\.projection_dimm"),
        (["schema_version"], 1, "schema_version"),
        (["prompt"], "no words", "instruction"),
    ],
)
def test_bad_configuration_is_named(policy_dir: Path, path: list[str], value: object, message: str) -> None:
    file = policy_dir / "config.json"
    document = json.loads(file.read_text())
    inner = document
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    file.write_text(json.dumps(document))
    with pytest.raises(PolicyDirectoryError, match=message):
        VLAPolicy.from_pretrained(policy_dir)


def test_every_mismatch_of_weights_is_named_with_both_shapes(policy_dir: Path) -> None:
    file = policy_dir / "model.safetensors"
    tensors = load_file(file)
    tensors["extra"] = tensors.pop("action_tokens")
    tensors["fusion.norm.weight"] = tensors["fusion.norm.weight"][:5].clone()
    save_file(tensors, file)
    with pytest.raises(PolicyDirectoryError) as error:
        VLAPolicy.from_pretrained(policy_dir)
    text = str(error.value)
    assert "missing action_tokens (1, 16)" in text
    assert "unknown extra (1, 16)" in text
    assert "fusion.norm.weight has shape (5,), expected (16,)" in text


def test_other_weights_miss_the_golden_vectors(policy_dir: Path) -> None:
    weights = {name: tensor.contiguous() for name, tensor in tiny_policy(seed=1).model.state_dict().items()}
    save_file(weights, policy_dir / "model.safetensors")
    with pytest.raises(PolicyDirectoryError, match="golden"):
        VLAPolicy.from_pretrained(policy_dir)


def test_weights_that_are_not_finite_are_named(policy_dir: Path) -> None:
    file = policy_dir / "model.safetensors"
    tensors = load_file(file)
    tensors["action_tokens"][0, 3] = float("nan")
    save_file(tensors, file)
    with pytest.raises(PolicyDirectoryError, match="action_tokens is not finite"):
        VLAPolicy.from_pretrained(policy_dir)


def test_a_write_never_replaces_something_else(policy: VLAPolicy, tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.mkdir()
    (target / "thesis.txt").write_text("two years of work")
    with pytest.raises(PolicyDirectoryError, match="is not a policy directory"):
        policy.save_pretrained(target, {}, "")
    assert (target / "thesis.txt").read_text() == "two years of work"


def test_a_failed_write_leaves_the_old_policy(
    policy: VLAPolicy, policy_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("mobile_vla_models.golden.GoldenVectors.save", fail)
    with pytest.raises(OSError, match="disk full"):
        policy.save_pretrained(policy_dir, {}, "")
    monkeypatch.undo()
    VLAPolicy.from_pretrained(policy_dir)
    assert [path.name for path in policy_dir.parent.iterdir()] == ["policy"]


def test_a_write_never_replaces_another_kind_of_model(policy: VLAPolicy, tmp_path: Path) -> None:
    """A released model's directory has a config.json too."""
    (tmp_path / "vlm").mkdir()
    (tmp_path / "vlm" / "config.json").write_text("{}")
    with pytest.raises(PolicyDirectoryError, match="is not a policy directory"):
        policy.save_pretrained(tmp_path / "vlm", {}, "")
    assert (tmp_path / "vlm" / "config.json").read_text() == "{}"


def test_what_was_rounded_is_not_written(policy_dir: Path, tmp_path: Path) -> None:
    rounded = VLAPolicy.from_pretrained(policy_dir, dtype="bfloat16")
    with pytest.raises(ValueError, match="float32"):
        rounded.save_pretrained(tmp_path / "other", {}, "")


def test_a_policy_in_training_mode_is_written_as_it_acts(policy: VLAPolicy, tmp_path: Path) -> None:
    policy.model.train()
    policy.save_pretrained(tmp_path / "policy", {}, "# tiny\n")
    VLAPolicy.from_pretrained(tmp_path / "policy")


def test_whoever_may_read_new_files_may_read_all_of_a_policy(tmp_path: Path) -> None:
    """Root installs it, another user's node loads it."""
    tiny_policy().save_pretrained(tmp_path / "policy", {}, "")
    (tmp_path / "new").touch()
    usual = (tmp_path / "new").stat().st_mode
    files = [path for path in (tmp_path / "policy").rglob("*") if path.is_file()]
    assert {path.name for path in files if path.stat().st_mode != usual} == set()
