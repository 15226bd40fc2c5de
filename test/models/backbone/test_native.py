"""Every backbone gives what its model's own forward gives, whole, in parts, padded, and with gradients."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from native import run_native
from sequences import (
    ACTIONS,
    ALL,
    ONE_PICTURE,
    TWO_PICTURES,
    Prompt,
    draw_pixels,
    encode,
    example,
    part_of,
    tiny_backbone,
)
from torch.nn.functional import pad

from mobile_vla_models.backbone import DecoderCache
from mobile_vla_models.sequence import PADDING, Sequence, compose, lay_out

TOLERANCE = 1e-5
each_family = pytest.mark.parametrize("family", list(ALL))


@each_family
@pytest.mark.parametrize("prompt", [ONE_PICTURE, TWO_PICTURES], ids=["one", "two"])
def test_states_and_logits_are_those_of_the_models_own_forward(family: str, prompt: Prompt) -> None:
    backbone = tiny_backbone(family)
    case = example(family, backbone, [prompt])
    with torch.no_grad():
        states = backbone.run(case.sequence)
        logits = backbone.logits(states)
        native_states, native_logits = run_native(backbone, case)
    assert states.abs().max() > 0.1
    torch.testing.assert_close(states, native_states, rtol=TOLERANCE, atol=TOLERANCE)
    torch.testing.assert_close(logits, native_logits, rtol=TOLERANCE, atol=10 * TOLERANCE)


@each_family
def test_a_picture_reaches_what_stands_after_it(family: str) -> None:
    backbone = tiny_backbone(family)
    one, other = (example(family, backbone, [ONE_PICTURE], picture_seed=seed).sequence for seed in (0, 1))
    with torch.no_grad():
        difference = backbone.run(one) - backbone.run(other)
    assert difference[:, -1].abs().max() > 1e-3
    if family not in ("paligemma", "paligemma2"):  # in their prefix words see what stands after them
        assert (difference[:, : ONE_PICTURE.lengths[0]] == 0).all()


@each_family
def test_going_on_from_a_cache_is_one_pass(family: str) -> None:
    backbone = tiny_backbone(family)
    sequence = example(family, backbone, [TWO_PICTURES]).sequence
    length = sequence.embeds.shape[1]
    prefix = length - ACTIONS - TWO_PICTURES.lengths[-1]
    cache = DecoderCache()
    ends = [prefix, *range(prefix + 1, length + 1)]
    with torch.no_grad():
        whole = backbone.run(sequence)
        parts = [backbone.run(part_of(backbone, sequence, start, stop), cache) for start, stop in pairwise([0, *ends])]
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=TOLERANCE, atol=TOLERANCE)


@each_family
def test_frame_by_frame_is_one_pass(family: str) -> None:
    backbone = tiny_backbone(family)
    sequence = example(family, backbone, [ONE_PICTURE, ONE_PICTURE], frames=3).sequence
    length = sequence.embeds.shape[1]
    cache = DecoderCache()
    with torch.no_grad():
        whole = backbone.run(sequence)
        parts = [
            backbone.run(part_of(backbone, sequence, start, start + length // 3), cache)
            for start in range(0, length, length // 3)
        ]
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=TOLERANCE, atol=TOLERANCE)


@each_family
def test_padding_changes_nothing(family: str) -> None:
    backbone = tiny_backbone(family)
    longer = Prompt((2, 9, 6, 4), TWO_PICTURES.cameras)
    both = example(family, backbone, [TWO_PICTURES, longer]).sequence
    alone = example(family, backbone, [TWO_PICTURES]).sequence
    length = alone.embeds.shape[1]
    assert (both.layout.kinds[0, length:] == PADDING).all()
    images = torch.cat([alone.images, both.images[1:]])
    embeds = torch.cat([pad(alone.embeds, (0, 0, 0, both.embeds.shape[1] - length)), both.embeds[1:]])
    with torch.no_grad():
        padded = backbone.run(type(both)(embeds, both.layout, images))[:1, :length]
        states = backbone.run(alone)
    torch.testing.assert_close(padded, states, rtol=TOLERANCE, atol=TOLERANCE)


@each_family
def test_padding_changes_nothing_of_what_follows_in_a_cache(family: str) -> None:
    backbone = tiny_backbone(family)
    longer = Prompt((2, 9, 6, 4), TWO_PICTURES.cameras)
    other = example(family, backbone, [TWO_PICTURES, longer]).sequence
    frames = example(family, backbone, [TWO_PICTURES], frames=2).sequence
    length = frames.embeds.shape[1] // 2
    embeds = pad(frames.embeds[:, :length], (0, 0, 0, other.embeds.shape[1] - length))
    first = Sequence(
        torch.cat([embeds, other.embeds[1:]]), other.layout, torch.cat([frames.images[:, :2], other.images[1:]])
    )
    layout = example(family, backbone, [TWO_PICTURES]).sequence.layout.repeat(2)
    second = Sequence(frames.embeds[:, length:].repeat(2, 1, 1), layout, frames.images[:, 2:].repeat(2, 1, 1, 1))
    cache = DecoderCache()
    with torch.no_grad():
        backbone.run(first, cache)
        states = backbone.run(second, cache)[:1]
        whole = backbone.run(frames)[:, length:]
    torch.testing.assert_close(states, whole, rtol=TOLERANCE, atol=TOLERANCE)


@each_family
def test_nothing_is_written_in_place(family: str) -> None:
    backbone = tiny_backbone(family)
    encoded = encode([TWO_PICTURES])
    with torch.no_grad():
        images = backbone.encode_images(draw_pixels(family, 2)).unsqueeze(0)
        words = backbone.word_embedding(encoded.ids)
    leaves = {
        "words": words.requires_grad_(),
        "images": images.requires_grad_(),
        "actions": torch.randn(1, ACTIONS, backbone.hidden_size, requires_grad=True),
    }
    before = {name: leaf.detach().clone() for name, leaf in leaves.items()}
    layout = lay_out(
        encoded,
        image_tokens=0 if backbone.cross_attends else images.shape[2],
        pictures=1,
        action_tokens=ACTIONS,
    )
    states = backbone.run(compose(layout, words, images, None, leaves["actions"]))
    states[:, -1].square().sum().backward()
    for name, leaf in leaves.items():
        assert leaf.grad is not None, name
        assert torch.isfinite(leaf.grad).all(), name
        assert (leaf.grad.abs().amax(dim=-1) > 0).any(dim=-1).all(), name
        assert torch.equal(leaf.detach(), before[name]), name
