"""A policy as a robot uses it."""

import numpy as np
import pytest
import torch

from mobile_vla_models.modeling import Observation, VLAModel
from mobile_vla_models.policy import VLAPolicy

RNG = np.random.default_rng(0)
FRAMES = RNG.integers(0, 256, (7, 12, 20, 3), dtype=np.uint8)


def test_chunk_has_the_shapes_and_units_of_the_spec(policy: VLAPolicy) -> None:
    chunk = policy.step(FRAMES[0], "go to the red box")
    assert chunk.velocity.shape == (3, 2)
    assert chunk.velocity.dtype == np.float32
    assert chunk.stop.shape == (3,)
    assert chunk.dt == 0.2
    assert np.all(np.abs(chunk.velocity) <= [0.6, 1.2])
    assert np.all((chunk.stop > 0.0) & (chunk.stop < 1.0))


def test_reset_forgets(policy: VLAPolicy) -> None:
    first = policy.step(FRAMES[0], "turn left")
    second = policy.step(FRAMES[0], "turn left")
    policy.reset()
    again = policy.step(FRAMES[0], "turn left")
    np.testing.assert_array_equal(first.velocity, again.velocity)
    assert not np.array_equal(first.velocity, second.velocity)


def test_history_is_the_window_and_no_more(policy: VLAPolicy) -> None:
    for frame in FRAMES:
        long = policy.step(frame, "turn left")
    policy.reset()
    for frame in FRAMES[-policy.config.window :]:
        short = policy.step(frame, "turn left")
    np.testing.assert_allclose(long.velocity, short.velocity, atol=1e-6)


def test_words_reach_the_action(policy: VLAPolicy) -> None:
    one = policy.step(FRAMES[0], "go to the red box")
    policy.reset()
    other = policy.step(FRAMES[0], "drive to the blue ball")
    assert not np.allclose(one.velocity, other.velocity, atol=1e-7)


def test_an_instruction_cannot_change_without_a_reset(policy: VLAPolicy) -> None:
    policy.step(FRAMES[0], "turn left")
    with pytest.raises(ValueError, match="without a reset"):
        policy.step(FRAMES[1], "stop")


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (np.zeros((0, 20, 3), np.uint8), "not be empty"),
        (np.zeros((12, 20), np.uint8), r"\(12, 20\)"),
        (np.zeros((12, 20, 4), np.uint8), r"\(12, 20, 4\)"),
        (np.zeros((12, 20, 3), np.float32), "float32"),
    ],
)
def test_bad_pictures_are_named(policy: VLAPolicy, picture: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        policy.step(picture, "stop")


@pytest.mark.parametrize(("text", "message"), [("  ", "must not be empty"), ("go " * 60, "longer than")])
def test_bad_instructions_are_named(policy: VLAPolicy, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        policy.step(FRAMES[0], text)


def test_padding_never_changes_an_action(policy: VLAPolicy) -> None:
    """Batched with a longer instruction or alone: the same features, the same action."""
    model: VLAModel = policy.model
    texts = ["stop", "drive to the blue ball please and then go to the red box"]
    pictures = torch.from_numpy(np.stack([FRAMES[0, :, :16][:12].repeat(2, 0)[:16]] * 2))[:, None, None]
    with torch.inference_mode():
        together = model.observe(Observation(pictures), policy.encoder(model, texts))
        alone = model.observe(Observation(pictures[:1]), policy.encoder(model, texts[:1]))
    for name, value in alone.items():
        torch.testing.assert_close(together[name][:1], value, rtol=0.0, atol=1e-6)
        if name != "clip_image":
            assert not torch.allclose(together[name][1:], value, atol=1e-5), f"{name} ignores the words"


def test_the_embeddings_are_composed_out_of_place(policy: VLAPolicy) -> None:
    """Gradients reach the image, the words and the action token: no leaf variable is written in place."""
    model = policy.model.train()
    pictures = torch.from_numpy(RNG.integers(0, 256, (2, 1, 1, 16, 16, 3), dtype=np.uint8))
    continuous, binary = model(Observation(pictures), policy.encoder(model, ["turn left", "stop"]))
    (continuous.sum() + binary.sum()).backward()
    for parameter in (
        model.action_tokens,
        model.backbone.model.image_to_text_projection.latent_query,
        model.backbone.word_embedding.weight,
        model.clip.clip.visual_projection.weight,
    ):
        assert parameter.grad is not None
        assert float(parameter.grad.abs().sum()) > 0.0
