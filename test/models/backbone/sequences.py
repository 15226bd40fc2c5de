"""Sequences for the backbone tests: prompts of given token ids, without a tokenizer."""

from __future__ import annotations

from collections.abc import Sequence as Several
from dataclasses import dataclass, replace

import torch
from families import FAMILIES, FURTHER
from torch import Tensor

from mobile_vla_models.backbone import Backbone, backbone_configuration, build_backbone
from mobile_vla_models.prompt import EncodedPrompt, Slot, Words
from mobile_vla_models.sequence import IMAGE_TOKEN, Sequence, compose, lay_out

ACTIONS = 3
ALL = {**FAMILIES, **FURTHER}


def tiny_backbone(family: str, seed: int = 0) -> Backbone:
    """With its language head, and weights so large that every part of the model counts."""
    torch.manual_seed(seed)
    document = ALL[family]
    backbone = build_backbone(document["backbone"], backbone_configuration(document["config"]), language_head=True)
    with torch.no_grad():
        for parameter in backbone.parameters():
            noise = torch.randn_like(parameter)
            if parameter.ndim > 1:
                parameter.copy_(0.2 * noise)
            else:
                parameter.add_(0.1 * noise)
    return backbone.eval()


def draw_pixels(family: str, count: int, seed: int = 0) -> Tensor:
    side = ALL[family]["image_size"]
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(seed))


@dataclass(frozen=True)
class Prompt:
    """[words][front][words][back][words][action][words], or without the second picture."""

    lengths: tuple[int, ...]
    cameras: tuple[str, ...]

    @property
    def parts(self) -> tuple[Words | Slot, ...]:
        slots = [*(Slot(name) for name in self.cameras), Slot("action")]
        return (*(part for slot in slots for part in (Words("words"), slot)), Words("words"))


ONE_PICTURE = Prompt((2, 4, 2), ("front",))
TWO_PICTURES = Prompt((2, 3, 4, 2), ("front", "back"))


def encode(prompts: Several[Prompt], seed: int = 0) -> EncodedPrompt:
    """Random ids that mean nothing special."""
    generator = torch.Generator().manual_seed(seed)
    totals = [sum(prompt.lengths) for prompt in prompts]
    ids = torch.zeros(len(prompts), max(totals), dtype=torch.int64)
    for row, total in zip(ids, totals, strict=True):
        row[:total] = torch.randint(10, 300, (total,), generator=generator)
    lengths = tuple(prompt.lengths for prompt in prompts)
    return EncodedPrompt(prompts[0].parts, ids, torch.zeros_like(ids, dtype=torch.bool), lengths)


@dataclass(frozen=True)
class Example:
    """A sequence, and what it was composed of: pixels (b, m, 3, s, s), and ids (b, L), -1 where a picture is."""

    sequence: Sequence
    pixels: Tensor
    ids: Tensor


def example(
    family: str, backbone: Backbone, prompts: Several[Prompt], frames: int = 1, picture_seed: int = 0
) -> Example:
    """b prompts over `frames` frames; the action tokens are embeddings of words, so that a model can be given ids."""
    encoded = encode(prompts)
    count = frames * len(prompts[0].cameras)
    pixels = draw_pixels(family, len(prompts) * count, picture_seed).unflatten(0, (len(prompts), count))
    actions = torch.randint(10, 300, (len(prompts), frames * ACTIONS), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        images = backbone.encode_images(pixels.flatten(0, 1)).unflatten(0, (len(prompts), count))
        layout = lay_out(
            encoded,
            image_tokens=0 if backbone.cross_attends else images.shape[2],
            pictures=1,
            action_tokens=ACTIONS,
            frames=frames,
        )
        words, spoken = backbone.word_embedding(encoded.ids), backbone.word_embedding(actions)
        sequence = compose(layout, words, images, None, spoken)
    between = torch.full((len(prompts), count * layout.image_tokens + frames), -1)
    ids = torch.cat([encoded.ids, between, actions], dim=1).gather(1, layout.source)
    return Example(sequence, pixels, ids)


def part_of(backbone: Backbone, sequence: Sequence, start: int, stop: int) -> Sequence:
    """Columns start to stop; of the pictures those that stand in them, or all where they are cross-attended."""
    layout = sequence.layout
    cut = slice(start, stop)
    parts = {name: getattr(layout, name)[:, cut] for name in ("source", "kinds", "seen", "frame", "answer")}
    images = sequence.images
    if not backbone.cross_attends:
        tokens = layout.image_tokens
        before, inside = (int((layout.kinds[0, :end] == IMAGE_TOKEN).sum()) // tokens for end in (start, stop))
        images = images[:, before:inside]
    return Sequence(sequence.embeds[:, cut], replace(layout, **parts), images)
