"""The lean step computes what the model computes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from lean_cases import LEAN_CASES, changed
from torch import Tensor, nn

from mobile_vla_models.configuration import PolicyConfig
from mobile_vla_models.engine.history import LeanHistory
from mobile_vla_models.engine.lean import LeanText
from mobile_vla_models.engine.parts import prepare, why_not_lean
from mobile_vla_models.engine.torch_engine import TorchEngine
from mobile_vla_models.engine.torch_parts import TorchParts
from mobile_vla_models.history import begin_history
from mobile_vla_models.policy import VLAPolicy
from policies import SENTENCES, build, document, pictures

STEPS = 5
FUSED = {"type": "sum", "features": ["backbone", "clip_image", "clip_text", "clip_similarity"]}


@pytest.mark.parametrize("name", LEAN_CASES)
@pytest.mark.parametrize("sentence", SENTENCES[:2])
def test_a_lean_run_is_the_models_run(name: str, sentence: str) -> None:
    policy = build(LEAN_CASES[name])
    assert why_not_lean(policy.config) is None
    expected, found = runs(policy, sentence)
    for one, other in zip(expected, found, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (document("llava", "lstm", "post"), "backbone is llava"),
        (document("kosmos2", "lstm", "pre"), "history is pre"),
        (document("kosmos2", "discrete", "post"), "head discrete"),
    ],
)
def test_other_policies_run_as_the_model_does(content: dict[str, Any], reason: str) -> None:
    policy = build(content)
    assert reason in str(why_not_lean(policy.config))
    with torch.inference_mode():
        history = TorchEngine(policy.model).begin(policy.encoder(policy.model, SENTENCES[:1]))
    assert not isinstance(history, LeanHistory)
    policy.step(pictures(policy.config, 1, 1)[0, 0, 0], SENTENCES[0])


def test_a_change_of_the_weights_is_seen_at_the_next_run() -> None:
    policy = build(changed())
    first = step(policy)
    with torch.no_grad():
        policy.model.backbone.model.image_to_text_projection.latent_query.mul_(-2.0)
    policy.reset()
    second = step(policy)
    assert float(np.abs(second - first).max()) > 1e-5
    fresh = VLAPolicy(parts_of(policy))
    np.testing.assert_array_equal(step(fresh), second)


def test_each_tower_looks_once_and_the_last_block_only_where_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = build(changed())
    seen: dict[str, list[tuple[int, ...]]] = {"vision": [], "first": [], "last": []}
    kosmos = policy.model.backbone.model
    blocks = kosmos.text_model.model.layers
    # One block is the first and the last here; the queries of the last are of the action token alone.
    watch(kosmos.vision_model.model.embeddings.patch_embedding, seen["vision"])
    watch(blocks[0].self_attn.k_proj, seen["first"])
    watch(blocks[-1].self_attn.q_proj, seen["last"])
    for _ in range(STEPS):
        step(policy)
    assert len(seen["vision"]) == STEPS
    assert [shape[1] for shape in seen["last"]] == [1] * STEPS
    assert all(shape[1] > 1 for shape in seen["first"])


def test_words_are_prepared_once_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = build(changed())
    seen: list[tuple[int, ...]] = []
    watch(policy.model.backbone.word_embedding, seen)
    for _ in range(STEPS):
        step(policy)
    assert len(seen) == 1


def test_no_tensor_is_written_in_place() -> None:
    """Weights may lie in a file that nothing may write to, and prepared words serve every frame."""
    policy = build(changed())
    with torch.inference_mode():
        prepared = prepare(policy.model, policy.encoder(policy.model, SENTENCES[:1]))
        before = prepared.words.clone(), prepared.positions.clone()
        history = LeanHistory(policy.config, TorchParts(policy.model), prepared)
        for picture in torch.from_numpy(pictures(policy.config, 1, 2)[0]):
            history.step(picture, None)
    assert torch.equal(prepared.words, before[0])
    assert torch.equal(prepared.positions, before[1])


def test_a_later_token_does_not_reach_what_is_read() -> None:
    policy = build(changed())
    config: PolicyConfig = policy.config
    text = LeanText(policy.model.backbone.model.text_model.model, None).eval()
    width = policy.model.backbone.hidden_size
    torch.manual_seed(0)
    words, latents = torch.randn(1, 6, width), torch.randn(1, 3, width)
    source, positions, read = torch.arange(9), torch.randn(9, width), torch.tensor([4])
    with torch.no_grad():
        expected = text(latents, words, source, positions, read)
        torch.testing.assert_close(text(latents + 1.0, words, source, positions, read), expected)
        moved = words.clone()
        moved[:, 3] *= -3.0
        assert float((text(latents, moved, source, positions, read) - expected).abs().max()) > 1e-5
    assert config.window == 3


def runs(policy: VLAPolicy, sentence: str) -> tuple[list[Tensor], list[Tensor]]:
    encoded = policy.encoder(policy.model, [sentence])
    frames = torch.from_numpy(np.ascontiguousarray(pictures(policy.config, 1, STEPS)[0]))
    answers: tuple[list[Tensor], list[Tensor]] = ([], [])
    with torch.inference_mode():
        lean = TorchEngine(policy.model).begin(encoded)
        assert isinstance(lean, LeanHistory)
        for history, found in zip((begin_history(policy.model, encoded), lean), answers, strict=True):
            for frame in frames:
                found += history.step(frame, None)
    return answers


def step(policy: VLAPolicy) -> Any:
    return policy.step(pictures(policy.config, 1, 1)[0, 0, 0], SENTENCES[0]).continuous


def parts_of(policy: VLAPolicy) -> Any:
    from mobile_vla_models.policy_directory import PolicyParts

    return PolicyParts(policy.config, policy.model, policy.encoder)


def watch(module: nn.Module, seen: list[tuple[int, ...]]) -> None:
    module.register_forward_pre_hook(lambda _, arguments: seen.append(tuple(arguments[0].shape)))
