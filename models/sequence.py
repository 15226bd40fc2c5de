"""Sequences of embeddings: where in them words, pictures, state and actions lie, and their composition.

Everything is composed out of place, by one gather: transformers' own forward of some models writes picture features
into the word embeddings, which fails when these are leaf variables. Sequences are padded on the right only, so that a
causal model never sees padding before a token that counts.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as Several
from dataclasses import dataclass

import torch
from torch import Tensor

from .prompt import ACTION, STATE, EncodedPrompt, Words

PADDING, TEXT_TOKEN, BOUNDARY_TOKEN, IMAGE_TOKEN, STATE_TOKEN, ACTION_TOKEN = range(6)


@dataclass(frozen=True)
class Layout:
    """What stands where in b sequences of at most L tokens.

    Attributes:
        source: int64 (b, L), rows of the bank that `compose` gathers from.
        kinds: int64 (b, L), PADDING, TEXT_TOKEN, ...
        seen: int64 (b, L), pictures of the same frame that begin at or before the token.
        frame: int64 (b, L), which frame of the sequence the token belongs to.
        frames: frames in a sequence.
        answer: bool (b, L), action tokens and the words after them: what a model that speaks its actions is taught to
            say.
        image_tokens: tokens of a picture; 0: pictures are looked at, and not part of the sequence.
    """

    source: Tensor
    kinds: Tensor
    seen: Tensor
    frame: Tensor
    answer: Tensor
    frames: int
    image_tokens: int

    def to(self, device: torch.device) -> Layout:
        """The same on `device`."""
        return self._each(lambda part: part.to(device))

    def repeat(self, times: int) -> Layout:
        """Every sequence `times` times, side by side."""
        return self._each(lambda part: part.repeat_interleave(times, dim=0))

    def _each(self, change: Callable[[Tensor], Tensor]) -> Layout:
        return Layout(
            change(self.source),
            change(self.kinds),
            change(self.seen),
            change(self.frame),
            change(self.answer),
            self.frames,
            self.image_tokens,
        )


@dataclass(frozen=True)
class Sequence:
    """What a backbone runs over.

    Attributes:
        embeds: (b, L, d), as the backbone's word embedding gives them.
        layout: what stands where.
        images: (b, m, q, w), features of the pictures in the order of their places, frame by frame; w may be wider
            than d: the first d are what `embeds` holds.
    """

    embeds: Tensor
    layout: Layout
    images: Tensor


@dataclass(frozen=True)
class _Bank:
    """Where `compose` finds what: [text | pictures | state | actions], frame by frame."""

    text: int
    cameras: int
    pictures: int
    image_tokens: int
    frames: int
    action_tokens: int

    def picture(self, frame: int, camera: int, picture: int) -> Tensor:
        number = (frame * self.cameras + camera) * self.pictures + picture
        first = self.text + number * self.image_tokens
        return torch.arange(first, first + self.image_tokens)

    def state(self, frame: int) -> Tensor:
        return torch.tensor([self.text + self.frames * self.cameras * self.pictures * self.image_tokens + frame])

    def action(self, frame: int, count: int) -> Tensor:
        first = int(self.state(self.frames)) + frame * self.action_tokens
        return torch.arange(first, first + count)


class _Row:
    """One sequence as it is laid out, piece by piece."""

    def __init__(self) -> None:
        self._pieces: list[tuple[Tensor, ...]] = []

    def put(self, source: Tensor, kind: Tensor | int, seen: int, frame: int, *, answer: bool) -> None:
        kinds = kind if isinstance(kind, Tensor) else torch.full_like(source, kind)
        marks = torch.full_like(source, int(answer), dtype=torch.bool)
        self._pieces.append((source, kinds, torch.full_like(source, seen), torch.full_like(source, frame), marks))

    def columns(self) -> list[Tensor]:
        return [torch.cat(column) for column in zip(*self._pieces, strict=True)]


def lay_out(
    prompt: EncodedPrompt,
    *,
    image_tokens: int,
    pictures: int,
    action_tokens: int | Several[int],
    frames: int = 1,
    open_ended: bool = False,
) -> Layout:
    """Lay out b prompts.

    Args:
        prompt: the words.
        image_tokens: tokens of a picture (0 for a model that looks at pictures by cross-attention).
        pictures: of each camera in each frame's prompt (more than 1: a video in one prompt).
        action_tokens: tokens in the place of `{action}`, or their number for each sample.
        frames: prompts in a sequence, one after the other.
        open_ended: end the last frame's prompt at `{action}`, to be continued token by token.

    Returns:
        Layout on the CPU, over the bank [text t | pictures frames * cameras * pictures * image_tokens | state frames |
        actions frames * most action tokens]; cameras in the order of the prompt.
    """
    batch, text = prompt.ids.shape
    counts = [action_tokens] * batch if isinstance(action_tokens, int) else list(action_tokens)
    bank = _Bank(text, len(prompt.cameras), pictures, image_tokens, frames, max(counts))
    # Samples whose pieces are equally long have the same layout.
    known: dict[tuple[tuple[int, ...], int, tuple[bool, ...]], list[Tensor]] = {}
    rows = []
    for lengths, count, ends in zip(prompt.lengths, counts, prompt.boundary.cpu(), strict=True):
        key = (lengths, count, tuple(ends.tolist()))
        if key not in known:
            row = _Row()
            for frame in range(frames):
                _put_prompt(row, prompt, lengths, ends, count, bank, frame, open_ended and frame == frames - 1)
            known[key] = row.columns()
        rows.append(known[key])
    source, kinds, seen, frame_of, answer = (
        torch.nn.utils.rnn.pad_sequence(list(column), batch_first=True) for column in zip(*rows, strict=True)
    )
    return Layout(source, kinds, seen, frame_of, answer, frames, image_tokens)


def _put_prompt(
    row: _Row,
    prompt: EncodedPrompt,
    lengths: tuple[int, ...],
    ends: Tensor,
    count: int,
    bank: _Bank,
    frame: int,
    open_ended: bool,
) -> None:
    """Lay out the prompt of one frame: `lengths` of its texts, `ends` where these begin or end a sequence."""
    seen, camera, first = 0, 0, 0
    spoken = False
    texts = iter(lengths)
    for part in prompt.parts:
        if isinstance(part, Words):
            index = torch.arange(first, first + next(texts))
            row.put(index, torch.where(ends[index], BOUNDARY_TOKEN, TEXT_TOKEN), seen, frame, answer=spoken)
            first += len(index)
        elif part.name == STATE:
            row.put(bank.state(frame), STATE_TOKEN, seen, frame, answer=False)
        elif part.name == ACTION:
            if open_ended:
                return
            spoken = True
            row.put(bank.action(frame, count), ACTION_TOKEN, seen, frame, answer=True)
        else:
            for picture in range(bank.pictures):
                seen += 1
                row.put(bank.picture(frame, camera, picture), IMAGE_TOKEN, seen, frame, answer=False)
            camera += 1


def compose(layout: Layout, words: Tensor, images: Tensor, state: Tensor | None, actions: Tensor | None) -> Sequence:
    """Compose sequences out of place.

    Args:
        layout: b sequences.
        words: (b, t, d), embeddings of the text tokens.
        images: (b, m, q, w), w >= d; with q 0 in the layout, pictures are passed on and not composed.
        state: (b, frames, d), or None without a state.
        actions: (b, frames * n, d), or None without action tokens.
    """
    batch, _, width = words.shape
    patches = images[..., :width].reshape(batch, -1, width) if layout.image_tokens else words[:, :0]
    states = state if state is not None else words.new_zeros(batch, layout.frames, width)
    bank = [words, patches.to(words.dtype), states.to(words.dtype)]
    if actions is not None:
        bank.append(actions.to(words.dtype))
    embeds = torch.cat(bank, dim=1).gather(1, layout.source.unsqueeze(-1).expand(-1, -1, width))
    return Sequence(embeds, layout, images)
