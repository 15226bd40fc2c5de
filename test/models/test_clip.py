"""CLIP's features are those of transformers, and a tower that no feature needs is not there."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny import tiny_document
from torch import Tensor
from transformers import CLIPConfig, CLIPModel

from mobile_vla_models.clip import ClipGrounding

ALL = ("clip_image", "clip_text_raw", "clip_similarity")


def model() -> CLIPModel:
    torch.manual_seed(0)
    document: Any = tiny_document()
    clip = CLIPModel(CLIPConfig(**document["clip"]["config"])).eval()
    for name, parameter in clip.named_parameters():
        # As after training: no projection that leaves everything equally long.
        if "projection" in name:
            torch.nn.init.normal_(parameter, 0.0, 0.5)
    return clip


def pixels(count: int = 3) -> Tensor:
    return torch.randn(count, 3, 16, 16, generator=torch.Generator().manual_seed(1))


IDS = torch.tensor([[1, 20, 30, 3], [1, 40, 3, 0]])
MASK = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])


@torch.no_grad()
def test_pictures_are_encoded_as_transformers_do() -> None:
    clip = model()
    pooled = clip.vision_model(pixel_values=pixels()).pooler_output
    raw = clip.visual_projection(pooled)
    encoding, patches = ClipGrounding(clip, ALL).encode_image(pixels())
    torch.testing.assert_close(encoding.pooled, pooled)
    torch.testing.assert_close(encoding.raw, raw)
    torch.testing.assert_close(encoding.unit, raw / raw.norm(dim=-1, keepdim=True))
    assert patches.shape == (3, 16, 8)
    torch.testing.assert_close(patches.norm(dim=-1), torch.ones(3, 16))


@torch.no_grad()
def test_words_are_read_at_each_texts_last_token() -> None:
    clip = model()
    states = clip.text_model(input_ids=IDS, attention_mask=MASK).last_hidden_state
    last = torch.stack([states[0, 3], states[1, 2]])
    encoding = ClipGrounding(clip, ALL).encode_text(IDS, MASK)
    torch.testing.assert_close(encoding.pooled, last)
    torch.testing.assert_close(encoding.raw, clip.text_projection(last))
    # Unpadded, as transformers alone would read it.
    alone = clip.text_model(input_ids=IDS[1:, :3]).pooler_output
    torch.testing.assert_close(encoding.pooled[1:], alone)


def test_features_go_by_their_names() -> None:
    encoding, _ = ClipGrounding(model(), ALL).encode_image(pixels())
    found = encoding.features("clip_image")
    assert list(found) == ["clip_image", "clip_image_raw", "clip_image_pooled"]
    assert found["clip_image_raw"] is encoding.raw
    assert found["clip_image_pooled"] is encoding.pooled
    assert torch.equal(found["clip_image"], encoding.unit)


@pytest.mark.parametrize(
    ("features", "sees", "reads", "compares"),
    [
        (["clip_image_pooled", "backbone"], True, False, False),
        (["clip_image_raw"], True, False, False),
        (["backbone", "clip_text"], False, True, False),
        (["clip_text_pooled", "clip_image"], True, True, False),
        (["clip_similarity"], True, True, True),
    ],
)
def test_only_what_features_need_is_there(features: list[str], sees: bool, reads: bool, compares: bool) -> None:
    grounding = ClipGrounding(model(), features)
    assert (grounding.sees, grounding.reads) == (sees, reads)
    names = {name.removeprefix("clip.").split(".")[0] for name in grounding.state_dict()}
    expected = {"vision_model", "visual_projection"} if sees else set()
    expected |= {"text_model", "text_projection"} if reads else set()
    assert names == expected | ({"logit_scale", "similarity_bias"} if compares else set())


def test_patches_are_compared_with_each_text() -> None:
    grounding = ClipGrounding(model(), ALL)
    generator = torch.Generator().manual_seed(2)
    patches = torch.nn.functional.normalize(torch.randn(2, 16, 8, generator=generator), dim=-1)
    texts = torch.nn.functional.normalize(torch.randn(3, 8, generator=generator), dim=-1)
    scale = float(grounding.clip.logit_scale.detach().exp())
    expected = torch.einsum("bpe,ne->bnp", patches, texts) * scale - 5.0
    torch.testing.assert_close(grounding.similarity(patches, texts), expected)
    torch.testing.assert_close(grounding.similarity(patches, texts.expand(2, -1, -1)), expected)
    with torch.no_grad():
        grounding.clip.logit_scale.fill_(10.0)
    capped = torch.einsum("bpe,ne->bnp", patches, texts) * 100.0 - 5.0
    torch.testing.assert_close(grounding.similarity(patches, texts), capped)
