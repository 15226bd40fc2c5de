"""All ways of a step give the same answers on the same weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from lean_cases import LEAN_CASES
from torch import Tensor, nn

from mobile_vla_models.benchmark.policy import compare as compare_module
from mobile_vla_models.benchmark.policy.compare import WINDOWS, compare
from mobile_vla_models.benchmark.policy.opened import BenchmarkError
from mobile_vla_models.benchmark.policy.ways import Answer, Ours, RoboVLMs, Stock, Way, WholeWindow, with_language_head
from mobile_vla_models.modeling import Observation
from mobile_vla_models.policy import VLAPolicy
from policies import SENTENCES, build, document, pictures

TOLERANCE = 1e-5
STEPS = 6


def lively(content: dict[str, Any]) -> VLAPolicy:
    """A policy whose answers depend on everything: weights so large that nothing is lost on the way."""
    policy = build(content)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in policy.model.parameters():
            if weight.ndim > 1:
                weight.normal_(std=0.4, generator=generator)
    return policy


def frames(policy: VLAPolicy, count: int) -> list[Tensor]:
    return list(torch.from_numpy(np.ascontiguousarray(pictures(policy.config, 1, count)))[0])


def answers(way: Way, shown: list[Tensor]) -> list[Answer]:
    return [way.step(picture) for picture in shown]


def difference(some: list[Answer], others: list[Answer]) -> float:
    return max(
        float((one - other).abs().max())
        for pair in zip(some, others, strict=True)
        for one, other in zip(*pair, strict=True)
        if one.numel()
    )


@pytest.mark.parametrize("name", LEAN_CASES)
def test_all_ways_give_the_models_answer(name: str) -> None:
    policy = lively(LEAN_CASES[name])
    shown, window = frames(policy, STEPS), policy.config.window
    with torch.inference_mode():
        instruction = policy.encoder(policy.model, [SENTENCES[0]])
        expected = []
        for end in range(1, STEPS + 1):
            seen = torch.stack(shown[max(0, end - window) : end])[None]
            continuous, binary = policy.model(Observation(seen), instruction)
            expected.append((continuous[0, -1], binary[0, -1].sigmoid()))
    # What is compared depends on the pictures.
    assert difference(expected[1:], expected[:-1]) > 1000 * TOLERANCE
    for way in (Stock, RoboVLMs, WholeWindow, Ours):
        assert difference(answers(way(policy, SENTENCES[0]), shown), expected) < TOLERANCE, way.name


@pytest.mark.parametrize("way", [Stock, RoboVLMs, WholeWindow, Ours])
def test_a_window_filled_with_one_frame_is_that_frame_again_and_again(way: type[Way]) -> None:
    policy = lively(LEAN_CASES["all features"])
    first, *others = frames(policy, 3)
    filled = way(policy, SENTENCES[0])
    filled.still(first, 3)
    stepped = way(policy, SENTENCES[0])
    answers(stepped, [first] * 3)
    assert difference(answers(filled, others), answers(stepped, others)) < TOLERANCE
    # Forgetting the filling would be seen.
    assert difference(answers(way(policy, SENTENCES[0]), others), answers(filled, others)) > 100 * TOLERANCE


def test_the_language_head_costs_no_weights_and_the_policy_does_not_notice_it() -> None:
    model = build(LEAN_CASES["mean"]).model
    own = {weight.data_ptr() for weight in model.parameters()}
    whole = with_language_head(model)
    assert {weight.data_ptr() for weight in whole.parameters()} <= own
    assert whole.text_model.lm_head.weight.data_ptr() == model.backbone.word_embedding.weight.data_ptr()
    assert isinstance(model.backbone.model.get_output_embeddings(), nn.Identity)


@pytest.mark.parametrize("way", [Stock, RoboVLMs])
def test_the_language_head_runs_over_all_tokens(way: type[Way], monkeypatch: pytest.MonkeyPatch) -> None:
    policy = build(LEAN_CASES["mean"])
    shapes: list[tuple[int, ...]] = []
    run = way(policy, SENTENCES[0])
    run._kosmos.text_model.lm_head.register_forward_hook(lambda _, inputs, output: shapes.append(tuple(output.shape)))
    run.step(frames(policy, 1)[0])
    assert shapes == [(1, run.layout.kinds.shape[1], 300)]


def test_a_comparison_says_how_far_the_answers_are_apart() -> None:
    done: list[None] = []
    comparison = compare(lively(LEAN_CASES["all features"]), 2, lambda: done.append(None))
    assert [way.name for way in comparison.ways] == ["transformers", "RoboVLMs-style", "whole window", "this package"]
    assert all(way.difference < TOLERANCE for way in comparison.ways)
    assert comparison.spread > 1000 * TOLERANCE
    assert tuple(comparison.windows) == WINDOWS
    assert len(done) == 3 * 6


def test_a_way_that_computes_something_else_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    class Forgetful(RoboVLMs):
        def step(self, pictures: Tensor) -> Answer:
            self._window.popleft()
            return super().step(pictures)

    monkeypatch.setattr(compare_module, "RoboVLMs", Forgetful)
    ways = compare(lively(LEAN_CASES["all features"]), 2).ways
    assert ways[1].difference > 100 * TOLERANCE
    assert ways[0].difference < TOLERANCE


@pytest.mark.parametrize(("group", "share"), [(0, 0.25), (1, 0.5)])
def test_differences_are_shares_of_ranges(monkeypatch: pytest.MonkeyPatch, group: int, share: float) -> None:
    """Actions go from -1 to 1, probabilities from 0 to 1."""

    class Off(RoboVLMs):
        def step(self, pictures: Tensor) -> Answer:
            answer = list(super().step(pictures))
            answer[group] = answer[group] + 0.5
            return answer[0], answer[1]

    monkeypatch.setattr(compare_module, "RoboVLMs", Off)
    policy = lively(LEAN_CASES["all features"])
    assert policy.config.action.binary
    assert compare(policy, 1).ways[1].difference == pytest.approx(share, abs=TOLERANCE)


def test_other_windows_only_for_heads_that_take_any() -> None:
    assert compare(build(LEAN_CASES["two cameras"]), 1).windows == {}


def test_a_policy_without_parts_is_refused() -> None:
    with pytest.raises(BenchmarkError, match="history is pre"):
        compare(build(document("kosmos2", "lstm", "pre")), 1)
