"""At run time, frame by frame, a policy answers what training computes for the window that ends there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tiny import tiny_document
from torch import Tensor

from mobile_vla_models.history import begin_history
from mobile_vla_models.modeling import Observation
from mobile_vla_models.policy import VLAPolicy
from policies import SENTENCES, TOKENS, build, document, observe

STEPS, WINDOW = 6, 3
STATE = [
    {"name": "speed", "unit": "m/s", "mean": 0.1, "std": 0.3},
    {"name": "turn", "unit": "rad/s", "mean": 0.0, "std": 0.5},
    {"name": "battery", "unit": "V", "mean": 12.0, "std": 1.0},
]
RICH: dict[str, Any] = {
    "cameras": ["front", "hand"],
    "state": STATE,
    "prompt": "<s>{hand}{front}{state}go and {instruction} now{action}</s>",
    "readout": {**TOKENS, "tokens": 2},
}
PLAIN: dict[str, Any] = {}


def window_of(run: Observation, step: int, window: int) -> Observation:
    begin = max(0, step + 1 - window)
    state = None if run.state is None else run.state[:, begin : step + 1]
    return Observation(run.pictures[:, begin : step + 1], state)


@torch.inference_mode()
def rolled_out(policy: VLAPolicy, run: Observation) -> list[tuple[Tensor, Tensor]]:
    history = begin_history(policy.model, policy.encoder(policy.model, SENTENCES[:1]))
    states = [None] * STEPS if run.state is None else list(run.state[0])
    return [history.step(picture, state) for picture, state in zip(run.pictures[0], states, strict=True)]


def assert_each_step_is_its_window(policy: VLAPolicy) -> None:
    run = observe(policy.config, 1, STEPS)
    encoded = policy.encoder(policy.model, SENTENCES[:1])
    for step, (continuous, binary) in enumerate(rolled_out(policy, run)):
        with torch.inference_mode():
            expected, logits = policy.model(window_of(run, step, policy.config.window), encoded)
        torch.testing.assert_close(continuous, expected[0, -1], rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(binary, logits[0, -1].sigmoid(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("head", ["lstm", "gpt", "fc"])
@pytest.mark.parametrize("changes", [PLAIN, RICH], ids=["plain", "two_cameras_and_state"])
@pytest.mark.parametrize("history", ["post", "pre", "video", "none"])
def test_each_step_is_the_window_that_ends_there(history: str, changes: dict[str, Any], head: str) -> None:
    policy = build(document("kosmos2", head, history, **changes))
    assert_each_step_is_its_window(policy)


@pytest.mark.parametrize("family", ["paligemma2", "gemma3", "qwen3_vl", "idefics", "llava"])
def test_frames_in_one_sequence_go_on_from_what_is_kept(family: str) -> None:
    """Keys and values while the window fills, pictures encoded before once it is full; for all kinds of attention."""
    policy = build(document(family, "lstm", "pre"))
    assert_each_step_is_its_window(policy)


@pytest.mark.parametrize("history", ["post", "pre", "none"])
def test_a_policy_that_reads_clip_only_needs_no_backbone(history: str, monkeypatch: pytest.MonkeyPatch) -> None:
    content = {**tiny_document(), "history": history, "window": 1 if history == "none" else WINDOW}
    content["clip"]["prompts"] = []
    content["fusion"] = {"type": "sum", "features": ["clip_image", "clip_text"], "hidden_size": 16, "dropout": 0.0}
    policy = build(content)
    monkeypatch.setattr(type(policy.model.backbone), "encode_images", None)
    assert_each_step_is_its_window(policy)


@pytest.mark.parametrize("family", ["kosmos2", "paligemma", "gemma3", "qwen3_vl", "idefics"])
def test_a_later_frame_never_changes_what_an_earlier_one_was_answered(family: str) -> None:
    policy = build(document(family, "lstm", "pre"))
    run = observe(policy.config, 1, WINDOW)
    changed = run.pictures.clone()
    changed[:, -1] = 255 - changed[:, -1]
    encoded = policy.encoder(policy.model, SENTENCES[:1])
    with torch.inference_mode():
        one, _ = policy.model(run, encoded)
        other, _ = policy.model(Observation(changed), encoded)
    torch.testing.assert_close(one[:, :-1], other[:, :-1], rtol=0.0, atol=1e-6)
    assert float((one[:, -1] - other[:, -1]).abs().max()) > 1e-6


@pytest.mark.parametrize("history", ["post", "pre", "video"])
def test_the_answer_is_that_of_the_newest_frame(history: str) -> None:
    """The frames of the past matter, the newest one matters, and it is the newest that is answered."""
    policy = build(document("kosmos2", "lstm", history))
    run = observe(policy.config, 1, WINDOW)
    answer = rolled_out_last(policy, run)
    for frame in range(WINDOW):
        changed = run.pictures.clone()
        changed[:, frame] = 255 - changed[:, frame]
        assert float((rolled_out_last(policy, Observation(changed)) - answer).abs().max()) > 1e-7, frame


def rolled_out_last(policy: VLAPolicy, run: Observation) -> Tensor:
    history = begin_history(policy.model, policy.encoder(policy.model, SENTENCES[:1]))
    for picture in run.pictures[0]:
        continuous, _ = history.step(picture, None)
    return continuous


@pytest.mark.parametrize("history", ["post", "pre", "video", "none"])
def test_every_picture_is_encoded_once(history: str, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = build(document("kosmos2", "lstm", history))
    run = observe(policy.config, 1, STEPS)
    encoded: list[int] = []
    encode = policy.model.backbone.encode_images

    def counted(pixels: Tensor) -> Tensor:
        encoded.append(len(pixels))
        return encode(pixels)

    monkeypatch.setattr(policy.model.backbone, "encode_images", counted)
    rolled_out(policy, run)
    assert encoded == [1] * STEPS


@pytest.mark.parametrize("source", ["text", "vision", "all"])
@pytest.mark.parametrize("history", ["post", "pre", "video"])
def test_pooled_features_take_the_same_way(history: str, source: str) -> None:
    policy = build(
        document(
            "kosmos2",
            "lstm",
            history,
            readout={"type": "pooled", "source": source, "pooling": "max", "tokens": 2},
            prompt="<s>{front}{instruction}</s>",
        )
    )
    assert_each_step_is_its_window(policy)


@pytest.mark.parametrize("changes", [PLAIN, RICH], ids=["plain", "two_cameras_and_state"])
@pytest.mark.parametrize(("resampler", "tokens"), [(None, 5), (3, 3)])
def test_pictures_of_all_cameras_and_the_state_reach_the_action(
    resampler: int | None, tokens: int, changes: dict[str, Any]
) -> None:
    sizes = {"latents": resampler, "depth": 1, "heads": 2, "head_dim": 8, "ff_mult": 2}
    policy = build(document("kosmos2", "fc", "none", **changes, resampler=None if resampler is None else sizes))
    observation = observe(policy.config, 1, 1)
    assert policy.model.encode_pictures(observation.pictures[0, 0]).shape[1] == tokens
    encoded = policy.encoder(policy.model, SENTENCES[:1])
    with torch.inference_mode():
        action, _ = policy.model(observation, encoded)
        for camera in range(len(policy.config.cameras)):
            pictures = observation.pictures.clone()
            pictures[:, :, camera] = 255 - pictures[:, :, camera]
            other, _ = policy.model(Observation(pictures, observation.state), encoded)
            assert float((other - action).abs().max()) > 1e-6, policy.config.cameras[camera]
        for dimension in range(len(policy.config.state)):
            assert observation.state is not None
            state = observation.state.clone()
            state[..., dimension] += 1.0
            other, _ = policy.model(Observation(observation.pictures, state), encoded)
            assert float((other - action).abs().max()) > 1e-6, policy.config.state[dimension].name


def test_step_takes_cameras_by_name_and_the_state() -> None:
    policy = build(document("kosmos2", "lstm", "post", **RICH))
    run = observe(policy.config, 1, STEPS)
    assert run.state is not None
    answers = rolled_out(policy, run)
    spec = policy.config.action
    for pictures, state, (continuous, binary) in zip(run.pictures[0], run.state[0], answers, strict=True):
        chunk = policy.step(pictures[0].numpy(), SENTENCES[0], state.numpy(), {"hand": pictures[1].numpy()})
        share = (continuous.numpy() + 1.0) / 2.0
        np.testing.assert_allclose(chunk.velocity, spec.minimum + share * (spec.maximum - spec.minimum), rtol=1e-5)
        np.testing.assert_allclose(chunk.stop, binary[:, 0].numpy(), rtol=1e-5)


@pytest.mark.parametrize(
    ("state", "cameras", "message"),
    [
        (None, {"hand"}, "no state"),
        ([0.0, 0.0], {"hand"}, r"\(3,\).*speed"),
        ([0.0, float("nan"), 0.0], {"hand"}, "not finite.*turn"),
        ([0.0, 0.0, 0.0], set(), "hand"),
        ([0.0, 0.0, 0.0], {"hand", "rear"}, "rear"),
    ],
)
def test_what_is_missing_or_too_much_is_named(state: list[float] | None, cameras: set[str], message: str) -> None:
    policy = build(document("kosmos2", "lstm", "post", **RICH))
    picture = np.zeros((28, 28, 3), np.uint8)
    values = None if state is None else np.array(state, np.float32)
    with pytest.raises(ValueError, match=message):
        policy.step(picture, "stop", values, dict.fromkeys(cameras, picture))


def test_a_state_or_camera_that_the_policy_does_not_take_is_refused() -> None:
    policy = build(document("kosmos2", "lstm", "post"))
    picture = np.zeros((28, 28, 3), np.uint8)
    with pytest.raises(ValueError, match="state has shape"):
        policy.step(picture, "stop", np.zeros(2, np.float32))
    with pytest.raises(ValueError, match="hand"):
        policy.step(picture, "stop", None, {"hand": picture})
