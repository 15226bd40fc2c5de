"""What sees what, found out by changing one token after the other."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from families import FAMILIES
from sequences import ALL, ONE_PICTURE, TWO_PICTURES, Prompt, draw_pixels, encode, example, part_of, tiny_backbone
from torch import Tensor

from mobile_vla_models.backbone import Backbone
from mobile_vla_models.backbone.mrope import mrope_positions
from mobile_vla_models.sequence import IMAGE_TOKEN, Sequence, lay_out


def influence(backbone: Backbone, sequence: Sequence) -> Tensor:
    """Bool (L, L): whether token j (column) changes the state of token i (row)."""
    length = sequence.embeds.shape[1]
    with torch.no_grad():
        before = backbone.run(sequence)
        changed = []
        for column in range(length):
            embeds = sequence.embeds.clone()
            embeds[:, column] += 1.0
            after = backbone.run(Sequence(embeds, sequence.layout, sequence.images))
            changed.append((after - before)[0].abs().amax(dim=-1) > 1e-6)
    return torch.stack(changed, dim=1)


def test_a_causal_decoder_sees_what_came_before() -> None:
    backbone = tiny_backbone("llava")
    seen = influence(backbone, example("llava", backbone, [ONE_PICTURE]).sequence)
    assert torch.equal(seen, torch.ones_like(seen).tril())


def test_a_prefix_of_paligemma_sees_all_of_itself_and_the_frames_before() -> None:
    backbone = tiny_backbone("paligemma")
    sequence = example("paligemma", backbone, [ONE_PICTURE], frames=2).sequence
    layout = sequence.layout
    frame, index = layout.frame[0], torch.arange(len(layout.frame[0]))
    prefix = ONE_PICTURE.lengths[0] + layout.image_tokens + ONE_PICTURE.lengths[1]
    in_prefix = index % (len(index) // 2) < prefix
    block = in_prefix.unsqueeze(1) & in_prefix & (frame.unsqueeze(1) == frame)
    causal = torch.ones(len(index), len(index), dtype=torch.bool).tril()
    assert torch.equal(influence(backbone, sequence), causal | block)


def test_an_open_prompt_of_paligemma_is_all_prefix() -> None:
    backbone = tiny_backbone("paligemma")
    encoded = encode([ONE_PICTURE])
    layout = lay_out(encoded, image_tokens=4, pictures=1, action_tokens=0, open_ended=True)
    blocks = backbone.attention_blocks(
        Sequence(torch.zeros(1, layout.kinds.shape[1], 32), layout, torch.zeros(1, 1, 4, 32))
    )
    assert blocks is not None
    assert (blocks == 0).all()


def test_the_words_after_an_answer_of_paligemma_are_no_new_prefix() -> None:
    backbone = tiny_backbone("paligemma")
    sequence = example("paligemma", backbone, [ONE_PICTURE]).sequence
    length = sequence.embeds.shape[1]
    blocks = backbone.attention_blocks(part_of(backbone, sequence, length - 2, length))
    assert blocks is not None
    assert (blocks == -1).all()


def test_tokens_of_a_picture_of_gemma_3_see_each_other() -> None:
    backbone = tiny_backbone("gemma3")
    sequence = example("gemma3", backbone, [TWO_PICTURES]).sequence
    layout = sequence.layout
    picture = torch.where(layout.kinds == IMAGE_TOKEN, layout.seen, -1)[0]
    block = (picture.unsqueeze(1) == picture) & (picture >= 0)
    assert int(block.sum()) == 2 * layout.image_tokens**2
    seen = influence(backbone, sequence)
    causal = torch.ones_like(seen).tril()
    assert torch.equal(seen & ~causal, block & ~causal)
    # Through two layers, one with a window of ten tokens, all that came before is seen.
    assert torch.equal(seen & causal, causal)


@pytest.fixture(params=[True, False], ids=["resampler", "patches"])
def idefics(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Backbone:
    document = deepcopy(FAMILIES["idefics"])
    document["config"]["use_resampler"] = request.param
    monkeypatch.setitem(ALL, "idefics", document)
    return tiny_backbone("idefics")


def test_a_token_of_idefics_looks_at_the_pictures_of_its_frame_before_it(idefics: Backbone) -> None:
    # One word alone in the sequence: what changes its state comes from the pictures, not from words before it.
    sequence = example("idefics", idefics, [TWO_PICTURES], frames=2).sequence
    layout = sequence.layout
    assert idefics.cross_attends
    assert layout.image_tokens == 0
    assert sequence.images.shape[:2] == (1, 4)
    for column in range(layout.kinds.shape[1]):
        word = part_of(idefics, sequence, column, column + 1)
        reached = []
        with torch.no_grad():
            before = idefics.run(word)
            for picture in range(4):
                images = sequence.images.clone()
                images[:, picture] += 1.0
                after = idefics.run(Sequence(word.embeds, word.layout, images))
                reached.append(bool((after - before).abs().max() > 1e-6))
        frame, seen = int(word.layout.frame), int(word.layout.seen)
        assert reached == [picture // 2 == frame and picture % 2 < seen for picture in range(4)]


def test_idefics_without_a_resampler_looks_at_patches(monkeypatch: pytest.MonkeyPatch) -> None:
    document = deepcopy(FAMILIES["idefics"])
    document["config"]["use_resampler"] = False
    monkeypatch.setitem(ALL, "idefics", document)
    images = tiny_backbone("idefics").encode_images(draw_pixels("idefics", 2))
    assert images.shape == (2, 5, 24)  # the class token and 2 * 2 patches


def test_positions_in_three_dimensions() -> None:
    encoded = encode([Prompt((2, 1, 1), ("front",)), Prompt((1, 1, 1), ("front",))])
    layout = lay_out(encoded, image_tokens=4, pictures=1, action_tokens=1)
    positions, following = mrope_positions(layout, torch.tensor([0, 100]))
    assert positions[:, 0].tolist() == [
        [0, 1, 2, 2, 2, 2, 4, 5, 6],
        [0, 1, 2, 2, 3, 3, 4, 5, 6],
        [0, 1, 2, 3, 2, 3, 4, 5, 6],
    ]
    assert positions[:, 1, :8].tolist() == [
        [100, 101, 101, 101, 101, 103, 104, 105],
        [100, 101, 101, 102, 102, 103, 104, 105],
        [100, 101, 102, 101, 102, 103, 104, 105],
    ]
    assert following.tolist() == [7, 106]


def test_positions_in_three_dimensions_want_square_pictures() -> None:
    layout = lay_out(encode([ONE_PICTURE]), image_tokens=6, pictures=1, action_tokens=1)
    with pytest.raises(ValueError, match="a picture of 6 tokens is not square"):
        mrope_positions(layout, torch.zeros(1, dtype=torch.int64))


def test_features_for_deeper_layers_need_no_picture_in_the_sequence() -> None:
    # A token that is spoken after the prompt: the pictures of the frame are passed on, and none stands in this part.
    backbone = tiny_backbone("qwen3_vl")
    sequence = example("qwen3_vl", backbone, [ONE_PICTURE]).sequence
    length = sequence.embeds.shape[1]
    last = part_of(backbone, sequence, length - 1, length)
    assert last.images.shape[1] == 0
    with torch.no_grad():
        with_pictures = backbone.run(Sequence(last.embeds, last.layout, sequence.images))
        without = backbone.run(last)
    assert sequence.images.shape[-1] == 3 * backbone.hidden_size
    assert torch.equal(with_pictures, without)


def test_every_latent_of_kosmos2_sees_every_patch() -> None:
    """The cross-attention of transformers up to 5.20 is causal by mistake, and nothing raises."""
    backbone = tiny_backbone("kosmos2")
    pixels = draw_pixels("kosmos2", 1)
    changed = pixels.clone()
    changed[..., 14:, 14:] += 1.0  # the last patch
    with torch.no_grad():
        moved = (backbone.encode_images(changed) - backbone.encode_images(pixels))[0].abs().amax(dim=-1)
        # Through the tower every patch sees the last one: fewer patches seen are told by the size of the change.
        backbone.model.image_to_text_projection.x_attn.is_causal = True
        causal = (backbone.encode_images(changed) - backbone.encode_images(pixels))[0].abs().amax(dim=-1)
    assert bool((moved > 1e-6).all())
    assert not torch.allclose(moved, causal, rtol=1e-3)
