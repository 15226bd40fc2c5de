"""What goes into the model, number by number."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from tiny import tiny_document

from mobile_vla_models.configuration import ImagePreprocessing, PolicyConfig, StateDimension, SumFusionConfig
from mobile_vla_models.fusion import SumFusion
from mobile_vla_models.modeling import Observation, initialise
from mobile_vla_models.preprocessing import resize
from mobile_vla_models.state import StateEncoder
from mobile_vla_models.weights import change_dtype
from policies import SENTENCES, build, document, observe

RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 256, (37, 53, 3), dtype=np.uint8)


def preprocessing(interpolation: str) -> ImagePreprocessing:
    values = {"size": 16, "mean": (0.5,) * 3, "std": (0.5,) * 3, "interpolation": interpolation}
    return ImagePreprocessing.model_validate(values)


def test_pictures_are_squashed_as_the_configuration_says() -> None:
    expected = np.asarray(Image.fromarray(PICTURE).resize((16, 16), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(resize(PICTURE, preprocessing("bicubic")), expected)
    expected = cv2.resize(PICTURE, (16, 16), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(resize(PICTURE, preprocessing("area")), expected)
    assert not np.array_equal(expected, resize(PICTURE, preprocessing("bicubic")))


def test_the_state_is_normalised_by_its_mean_and_std() -> None:
    torch.manual_seed(0)
    dimensions = [
        StateDimension(name="battery", unit="V", mean=12.0, std=0.5),
        StateDimension(name="speed", unit="m/s", mean=0.1, std=0.3),
    ]
    encoder = StateEncoder(dimensions, 8)
    state = torch.tensor([[12.5, 0.4]])
    torch.testing.assert_close(encoder(state), encoder.mlp(torch.tensor([[1.0, 1.0]])))
    with pytest.raises(ValueError, match="3 dimensions"):
        encoder(torch.zeros(1, 3))


def test_half_the_bits_round_no_physical_unit() -> None:
    """A pressure of a thousand hectopascals moves by hundredths of one."""
    state = [{"name": "pressure", "unit": "hPa", "mean": 1000.3, "std": 0.05}]
    prompt = "<s>{front}{state}{instruction}{action}</s>"
    policy = build(document("llava", "fc", "none", state=state, prompt=prompt))
    exact = policy.model.state_encoder
    assert exact is not None
    before = exact(torch.tensor([1000.35])).detach()
    change_dtype(policy.model, torch.bfloat16)
    torch.testing.assert_close(exact(torch.tensor([1000.35])).float(), before, rtol=0.05, atol=0.05)


def test_half_the_bits_round_no_position() -> None:
    policy = build(document("llava", "fc", "none"))
    change_dtype(policy.model, torch.bfloat16)
    frequencies = [value for name, value in policy.model.named_buffers() if name.endswith("inv_freq")]
    assert frequencies
    assert {value.dtype for value in frequencies} == {torch.float32}


def test_fusion_adds_projections_and_is_no_linear_layer() -> None:
    torch.manual_seed(0)
    config = SumFusionConfig(type="sum", features=("backbone", "clip_text"), hidden_size=6, dropout=0.0)
    fusion = SumFusion(config, {"backbone": 4, "clip_text": 3})
    features = {"backbone": torch.randn(2, 4), "clip_text": torch.randn(2, 3)}
    total = sum(fusion.projections[name](value) for name, value in features.items())
    torch.testing.assert_close(fusion(features), torch.nn.functional.gelu(fusion.norm(total)))


def test_clip_compares_patches_with_words() -> None:
    model = initialise(PolicyConfig.model_validate(tiny_document()), 0)
    assert model.clip is not None
    patches = torch.nn.functional.normalize(torch.randn(1, 4, 8, generator=torch.Generator().manual_seed(0)), dim=-1)
    texts = patches[0, :2]
    found = model.clip.similarity(patches, texts)
    scale = math.exp(float(model.clip.clip.logit_scale.detach()))
    expected = texts @ patches[0].T * scale + model.clip.similarity_bias
    torch.testing.assert_close(found[0], expected)
    assert scale > 2.0


def test_clip_sees_the_first_camera() -> None:
    content = tiny_document()
    content["cameras"] = ["front", "hand"]
    content["prompt"] = "<s>{hand}{front}{instruction}</s>{action}"
    policy = build(content)
    observation = observe(policy.config, 1, 1)
    encoded = policy.encoder(policy.model, SENTENCES[:1])
    with torch.inference_mode():
        seen = policy.model.observe(observation, encoded)
        for camera, changes in ((0, True), (1, False)):
            pictures = observation.pictures.clone()
            pictures[:, :, camera] = 255 - pictures[:, :, camera]
            other = policy.model.observe(Observation(pictures), encoded)
            assert torch.equal(other["clip_image"], seen["clip_image"]) != changes
