"""A policy that does not fit the memory that is free is refused before anything is loaded, and says what would fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny import tiny_document

from mobile_vla_models import fit
from mobile_vla_models.configuration import PolicyConfig
from mobile_vla_models.errors import MemoryShortageError
from mobile_vla_models.fit import check_fits, weight_bytes
from mobile_vla_models.memory.available import Available
from mobile_vla_models.memory.preflight import RESERVE
from mobile_vla_models.memory.units import size_text
from mobile_vla_models.modeling import VLAModel
from mobile_vla_models.policy import VLAPolicy
from mobile_vla_models.precision import uniform
from mobile_vla_models.receipt import ActionError, Receipt
from mobile_vla_models.weights import empty_model

CPU = torch.device("cpu")
MIB = 2**20
Free = Callable[[int], None]


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Free:
    """Say how many bytes are free."""

    def say(size: int) -> None:
        monkeypatch.setattr(fit, "available_memory", lambda device: Available(size, 16 * 10**9, "MemAvailable"))

    return say


def large(precision: str = "fp32") -> PolicyConfig:
    """A policy of some 240 MB in float32, nearly all of it linear layers of its decoder; never filled."""
    document: Any = tiny_document()
    text = document["backbone"]["config"]["text_config"]
    text.update(embed_dim=512, ffn_dim=2048, layers=18, attention_heads=8)
    document["precision"] = uniform(precision).model_dump()
    return PolicyConfig.model_validate(document)


def receipt(workspace: int) -> Receipt:
    return Receipt(
        source="x.pth",
        sha256="0",
        precision=uniform("fp32"),
        parameters=1,
        disk=1,
        weights=1,
        workspace=workspace,
        frames=1,
        runs=1,
        features=0.0,
        actions=(ActionError(name="linear_x", unit="m/s", mean=0.0, maximum=0.0, share=0.0),),
        binary=0.0,
        not_finite=0.0,
        bound=0.05,
        forced=False,
    )


def test_the_bytes_of_the_weights_are_those_of_the_file(policy_dir: Path) -> None:
    size = sum(tensor.nbytes for tensor in load_file(policy_dir / "model.safetensors").values())
    assert weight_bytes(empty_model(PolicyConfig.model_validate(tiny_document()))) == size


def test_what_fits_passes(free: Free) -> None:
    config = large()
    model = empty_model(config)
    need = weight_bytes(model) + 500 * MIB + RESERVE
    free(need)
    assert check_fits(config, model, CPU, receipt(500 * MIB))
    free(need - _words(model) - 1)
    with pytest.raises(MemoryShortageError):
        check_fits(config, model, CPU, receipt(500 * MIB))


def _words(model: VLAModel) -> int:
    """Bytes of what only an instruction uses: word embeddings, and CLIP's text tower."""
    assert model.clip is not None
    tensors = (model.backbone.word_embedding.weight, *model.clip.clip.text_model.parameters())
    return sum(tensor.nbytes for tensor in tensors)


def test_where_weights_do_not_fit_they_stay_mapped_if_what_a_step_uses_fits(free: Free) -> None:
    config = large()
    model = empty_model(config)
    need = weight_bytes(model) + 500 * MIB + RESERVE
    for free_bytes in (need - 1, need - _words(model)):
        free(free_bytes)
        assert not check_fits(config, model, CPU, receipt(500 * MIB))
        with pytest.raises(MemoryShortageError, match="policy needs"):
            check_fits(config, model, CPU, receipt(500 * MIB), "memory")
    free(need)
    assert check_fits(config, model, CPU, receipt(500 * MIB), "memory")
    assert not check_fits(config, model, CPU, receipt(500 * MIB), "mapped")


def test_an_export_counts_in_the_place_of_the_towers(free: Free) -> None:
    config = large()
    model = empty_model(config)
    assert model.clip is not None
    towers = (model.backbone.vision_tower, model.backbone.text_tower.layers, model.clip.clip.vision_model)
    rest = weight_bytes(model) - sum(tensor.nbytes for tower in towers for tensor in tower.parameters())
    need = rest + 70 * MIB + 500 * MIB + RESERVE
    assert need < weight_bytes(model) + 500 * MIB + RESERVE
    free(need)
    assert check_fits(config, model, CPU, receipt(500 * MIB), "auto", 70 * MIB)
    free(need - 1)
    assert not check_fits(config, model, CPU, receipt(500 * MIB), "auto", 70 * MIB)


def test_a_refusal_says_what_is_needed_what_is_free_and_what_would_fit(free: Free) -> None:
    config = large()
    model = empty_model(config)
    size = weight_bytes(model)
    smaller = {name: weight_bytes(empty_model(large(name))) for name in ("bf16", "int8")}
    assert size > smaller["bf16"] > smaller["int8"]
    workspace = 30 * MIB
    available = smaller["int8"] + workspace + RESERVE
    assert available < smaller["bf16"] + workspace + RESERVE
    free(available)
    with pytest.raises(MemoryShortageError) as caught:
        check_fits(config, model, CPU, receipt(workspace))
    said = str(caught.value)
    assert f"policy needs {size_text(size + workspace)} (weights {size_text(size)}, workspace 31.5 MB)" in said
    assert f"{size_text(available)} are free of 16.00 GB (MemAvailable)" in said
    assert f"convert it to int8 ({size_text(smaller['int8'] + workspace)})" in said


def test_of_those_that_fit_the_largest_is_advised(free: Free) -> None:
    config = large()
    free(weight_bytes(empty_model(large("bf16"))) + RESERVE)
    with pytest.raises(MemoryShortageError, match="convert it to bf16"):
        check_fits(config, empty_model(config), CPU, receipt(0))


def test_where_nothing_fits_it_says_so(free: Free) -> None:
    config = large()
    free(1000)
    with pytest.raises(MemoryShortageError, match="no precision fits, the smallest, int"):
        check_fits(config, empty_model(config), CPU, None)


def test_the_smallest_precision_has_no_smaller_one(free: Free) -> None:
    config = large("int4").model_copy(update={"precision": uniform("int8")})
    free(1000)
    with pytest.raises(MemoryShortageError) as caught:
        check_fits(config, empty_model(config), CPU, None)
    assert "bf16" not in str(caught.value)


def test_without_a_receipt_the_workspace_is_estimated(free: Free) -> None:
    config = large()
    model = empty_model(config)
    size = weight_bytes(model)
    workspace = max(64 * MIB, size // 10)
    free(size + workspace + RESERVE)
    check_fits(config, model, CPU, None)
    free(size - _words(model) + workspace + RESERVE - 1000)
    with pytest.raises(MemoryShortageError):
        check_fits(config, model, CPU, None)


def test_a_policy_directory_is_refused_before_its_weights_are_read(policy_dir: Path, free: Free) -> None:
    (policy_dir / "model.safetensors").write_bytes(b"would be refused for what it is")
    free(1000)
    with pytest.raises(MemoryShortageError, match="policy needs"):
        VLAPolicy.from_pretrained(policy_dir)


def test_a_policy_directory_loads_where_there_is_room(policy_dir: Path, free: Free) -> None:
    weights = sum(tensor.nbytes for tensor in load_file(policy_dir / "model.safetensors").values())
    free(weights + 64 * MIB + RESERVE)
    policy = VLAPolicy.from_pretrained(policy_dir)
    assert np.isfinite(policy.step(np.zeros((16, 16, 3), np.uint8), "stop").continuous).all()
