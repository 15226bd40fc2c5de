"""Weights of a loaded policy do not change from outside: they are in memory, or a step after a change is refused."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny import tiny_policy

from mobile_vla_models import PolicyDirectoryError, VLAPolicy, fit, loaded_files
from mobile_vla_models.golden import GoldenVectors
from mobile_vla_models.memory.available import Available
from mobile_vla_models.memory.pages import mapped_files

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mappings are told by Linux")

FRAME = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
CHANGED = "was (changed|opened for writing) while the policy was in use"


def act(policy: VLAPolicy) -> list[float]:
    policy.reset()
    return policy.step(FRAME, "stop").continuous.ravel().tolist()


@pytest.fixture
def weights(policy_dir: Path) -> Path:
    return policy_dir / "model.safetensors"


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """A policy of the same size that acts otherwise."""
    tiny_policy(seed=1).save_pretrained(tmp_path / "other", {"parameters": 0}, "# tiny\n")
    return tmp_path / "other"


@pytest.fixture
def no_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for a file that belongs to somebody else."""
    monkeypatch.setattr(loaded_files._HeldFile, "_take_lease", lambda self: False)


def write_over(target: Path, source: Path) -> None:
    """As `cp`: the file stays the same one, and is empty for a moment."""
    with target.open("wb") as file, source.open("rb") as content:
        shutil.copyfileobj(content, file)


def test_weights_in_memory_do_not_change_with_their_file(policy_dir: Path, weights: Path, other: Path) -> None:
    policy = VLAPolicy.from_pretrained(policy_dir)
    assert str(weights) not in mapped_files()
    assert str(policy.files) == "in memory"
    before = act(policy)
    write_over(weights, other / "model.safetensors")
    assert act(policy) == before
    os.truncate(weights, 1)
    assert act(policy) == before
    shutil.rmtree(policy_dir)
    assert act(policy) == before
    assert policy.files.changed() == ""


def test_a_writer_to_mapped_weights_waits_until_the_policy_has_noticed(policy_dir: Path, weights: Path) -> None:
    policy = VLAPolicy.from_pretrained(policy_dir, weights="mapped")
    assert str(weights) in mapped_files()
    assert "writers have to wait" in str(policy.files)
    act(policy)
    with pytest.raises(PolicyDirectoryError, match="opened for writing"), policy.files.reading():  # noqa: PT012
        writer = subprocess.Popen([sys.executable, "-c", f"import os; os.truncate({str(weights)!r}, 0)"])
        while not policy.files.changed():
            pass
        assert policy.files.changed().startswith(f"{weights} was opened for writing while the policy was in use")
        assert weights.stat().st_size > 0
        assert writer.poll() is None
    assert writer.wait(10.0) == 0
    assert weights.stat().st_size == 0
    with pytest.raises(PolicyDirectoryError, match=CHANGED):
        policy.step(FRAME, "stop")


def test_a_writer_does_not_wait_for_the_next_step(policy_dir: Path, weights: Path) -> None:
    policy = VLAPolicy.from_pretrained(policy_dir, weights="mapped")
    writer = subprocess.Popen([sys.executable, "-c", f"import os; os.truncate({str(weights)!r}, 0)"])
    while not policy.files.changed():
        pass
    assert writer.wait(10.0) == 0
    with pytest.raises(PolicyDirectoryError, match=CHANGED):
        policy.step(FRAME, "stop")


@pytest.mark.usefixtures("no_leases")
@pytest.mark.parametrize("how", ["shorter", "other weights"])
def test_without_a_lease_a_change_is_noticed_before_the_next_step(
    policy_dir: Path, weights: Path, other: Path, how: str
) -> None:
    policy = VLAPolicy.from_pretrained(policy_dir, weights="mapped")
    assert "must not be written to" in str(policy.files)
    assert policy.files.changed() == ""
    act(policy)
    if how == "shorter":
        os.truncate(weights, 1)
    else:
        write_over(weights, other / "model.safetensors")
    assert policy.files.changed() == f"{weights} was changed while the policy was in use: load the policy anew"
    with pytest.raises(PolicyDirectoryError, match=CHANGED):
        policy.step(FRAME, "stop")


@pytest.mark.usefixtures("no_leases")
def test_what_was_computed_during_a_change_is_refused(policy_dir: Path, weights: Path, other: Path) -> None:
    policy = VLAPolicy.from_pretrained(policy_dir, weights="mapped")
    with pytest.raises(PolicyDirectoryError, match=CHANGED), policy.files.reading():
        write_over(weights, other / "model.safetensors")


@pytest.mark.parametrize("mode", ["memory", "mapped"])
def test_installing_by_rename_changes_no_running_policy(policy_dir: Path, other: Path, mode: str) -> None:
    policy = VLAPolicy.from_pretrained(policy_dir, weights=mode)
    before = act(policy)
    old = policy_dir.with_name("old")
    policy_dir.rename(old)
    other.rename(policy_dir)
    shutil.rmtree(old)
    assert policy.files.changed() == ""
    assert act(policy) == before
    assert "was changed" in policy.files.replaced()
    assert act(VLAPolicy.from_pretrained(policy_dir)) != before


@pytest.mark.parametrize("mode", ["memory", "mapped"])
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("model.safetensors", "was changed"),
        ("config.json", "was changed"),
        ("training.json", "was removed"),
        ("receipt.json", "was added"),
        ("tokenizer/tokenizer.json", "was changed"),
    ],
)
def test_a_file_that_changes_while_it_is_loaded_is_named(
    policy_dir: Path, monkeypatch: pytest.MonkeyPatch, mode: str, name: str, said: str
) -> None:
    check, path = GoldenVectors.check, policy_dir / name

    def change(*arguments: object, **options: object) -> object:
        if said == "was removed":
            path.unlink()
        else:
            path.write_bytes(path.read_bytes() + b" " if path.exists() else b"{}")
        return check(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(GoldenVectors, "check", change)
    with pytest.raises(PolicyDirectoryError, match=f"{name} {said} while the policy was being loaded"):
        VLAPolicy.from_pretrained(policy_dir, weights=mode)


def test_where_a_failed_load_has_another_reason_it_stands(policy_dir: Path) -> None:
    (policy_dir / "config.json").write_text("{}")
    with pytest.raises(PolicyDirectoryError, match="Field required"):
        VLAPolicy.from_pretrained(policy_dir)


def test_auto_maps_what_does_not_fit(policy_dir: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = weights.stat().st_size
    for free, mapped in ((64 * 2**20 + fit.RESERVE + size, False), (64 * 2**20 + fit.RESERVE + size // 2, True)):
        monkeypatch.setattr(fit, "available_memory", lambda device, free=free: Available(free, 10**10, "a test"))
        policy = VLAPolicy.from_pretrained(policy_dir)
        assert (str(weights) in mapped_files()) is mapped
        del policy


def test_an_unknown_place_is_named(policy_dir: Path) -> None:
    with pytest.raises(ValueError, match="weights must be one of auto, memory, mapped, got 'disk'"):
        VLAPolicy.from_pretrained(policy_dir, weights="disk")
