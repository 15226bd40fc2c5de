"""Where a processor only emulates a type, the lean step computes in float32 on the same weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from lean_cases import LEAN_CASES, changed
from torch import Tensor, nn

from mobile_vla_models.engine import widened as widened_module
from mobile_vla_models.engine.torch_engine import TorchEngine
from mobile_vla_models.engine.torch_parts import TorchParts
from mobile_vla_models.engine.widened import Widening, is_emulated
from mobile_vla_models.policy import VLAPolicy
from mobile_vla_models.weights import change_dtype
from policies import SENTENCES, build, pictures

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _emulates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(widened_module, "has_bfloat16", lambda: False)
    monkeypatch.setattr(widened_module, "has_float16", lambda: False)


def answers(policy: VLAPolicy, engine: TorchEngine | None = None) -> list[Tensor]:
    frames = torch.from_numpy(np.ascontiguousarray(pictures(policy.config, 1, 3)[0]))
    with torch.inference_mode():
        run = (engine or TorchEngine(policy.model)).begin(policy.encoder(policy.model, [SENTENCES[0]]))
        return [group for frame in frames for group in run.step(frame, None)]


@pytest.mark.parametrize("name", LEAN_CASES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_step_is_that_of_the_same_numbers_in_float32(name: str, dtype: torch.dtype) -> None:
    stored = build(LEAN_CASES[name])
    change_dtype(stored.model, dtype)
    found = answers(stored)
    exact = build(LEAN_CASES[name])
    change_dtype(exact.model, dtype)
    change_dtype(exact.model, torch.float32)
    for one, other in zip(answers(exact), found, strict=True):
        # Words and positions come in the stored type, and CLIP's texts are computed in it.
        torch.testing.assert_close(other.float(), one, rtol=0.0, atol=2e-3)
        assert other.dtype is torch.float32


def test_matrices_are_shared_and_what_is_copied_follows() -> None:
    policy = build(changed())
    change_dtype(policy.model, torch.bfloat16)
    parts = TorchParts(policy.model)
    own = policy.model.backbone.model.text_model.model.layers[0]
    layer = parts.text.layers[0]  # type: ignore[union-attr, index]
    assert layer.ffn.fc1.weight.data_ptr() == own.ffn.fc1.weight.data_ptr()  # type: ignore[union-attr]
    norm = layer.final_layer_norm  # type: ignore[union-attr]
    assert norm.weight.dtype is torch.float32
    with torch.no_grad():
        own.final_layer_norm.weight.fill_(3.0)
    parts.refresh()
    assert float(norm.weight.mean()) == 3.0


def test_weights_that_are_replaced_are_noticed() -> None:
    policy = build(changed())
    change_dtype(policy.model, torch.bfloat16)
    engine = TorchEngine(policy.model)
    before = answers(policy, engine)
    layer = policy.model.backbone.model.text_model.model.layers[0].ffn.fc1
    layer.weight = nn.Parameter(-layer.weight.detach())
    found = answers(policy, engine)
    assert not all(torch.equal(one, other) for one, other in zip(before, found, strict=True))
    for one, other in zip(answers(policy), found, strict=True):
        torch.testing.assert_close(other, one, rtol=0.0, atol=0.0)


def test_the_model_itself_is_left_as_it_was() -> None:
    policy = build(changed())
    change_dtype(policy.model, torch.bfloat16)
    before = {name: (id(each), each.dtype) for name, each in policy.model.named_parameters()}
    kinds = [type(module) for module in policy.model.modules()]
    TorchParts(policy.model)
    assert {name: (id(each), each.dtype) for name, each in policy.model.named_parameters()} == before
    assert [type(module) for module in policy.model.modules()] == kinds


def test_what_the_processor_knows_is_left_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(widened_module, "has_bfloat16", lambda: True)
    assert not is_emulated(torch.bfloat16, CPU)
    assert is_emulated(torch.float16, CPU)
    assert not is_emulated(torch.float32, CPU)
    assert not is_emulated(torch.float16, torch.device("cuda"))
    policy = build(changed())
    change_dtype(policy.model, torch.bfloat16)
    assert {each.dtype for each in TorchParts(policy.model).text.parameters()} == {torch.bfloat16}


def test_a_recurrent_layer_keeps_its_list_of_weights() -> None:
    lstm = nn.LSTM(4, 3).bfloat16()
    widening = Widening()
    made = widening.widened(lstm)
    assert {each.dtype for each in made.parameters()} == {torch.float32}
    assert {each.dtype for each in lstm.parameters()} == {torch.bfloat16}
    given = torch.randn(2, 1, 4)
    with torch.no_grad():
        before = made(given)[0]
        lstm.weight_ih_l0.mul_(2.0)
        torch.testing.assert_close(made(given)[0], before)
        widening.refresh()
        assert float((made(given)[0] - before).abs().max()) > 1e-3
