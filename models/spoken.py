"""Words that the backbone speaks: actions as tokens of its vocabulary, and answers to questions about pictures.

Actions as tokens are RT-2's idea (Brohan et al., 2023), the bins in the tail of the vocabulary OpenVLA's (Kim et al.,
2024). Decoding is greedy among the ids that mean an action, and keeps keys and values.
"""

from __future__ import annotations

from collections.abc import Sequence as Several
from dataclasses import dataclass

import torch
from torch import Tensor

from .action_bins import ActionBins
from .backbone import DecoderCache
from .loss import token_loss
from .modeling import VLAModel
from .prompt import EncodedPrompt
from .sequence import ACTION_TOKEN, PADDING, Layout, Sequence


@dataclass(frozen=True)
class Spoken:
    """Actions as they were spoken.

    Attributes:
        ids: int64 (b, chunk * (k + m)); step by step, the continuous dimensions before the binary ones.
        continuous: (b, chunk, k) in [-1, 1].
        binary: (b, chunk, m), probabilities.
    """

    ids: Tensor
    continuous: Tensor
    binary: Tensor


def action_ids(bins: ActionBins, continuous: Tensor, binary: Tensor) -> Tensor:
    """Actions (..., chunk, k) in [-1, 1] and (..., chunk, m) in {0, 1} -> int64 (..., chunk * (k + m))."""
    ids = torch.cat([bins.encode(continuous), bins.encode_binary(binary)], dim=-1)
    return ids.flatten(-2)


def action_token_loss(
    model: VLAModel,
    images: Tensor,
    state: Tensor | None,
    prompt: EncodedPrompt,
    continuous: Tensor,
    binary: Tensor,
    mask: Tensor | None,
) -> Tensor:
    """Cross-entropy of spoken actions, and of the words that the prompt has after them.

    Args:
        model: with the discrete head.
        images: (b, l, c, q, w), from `encode_pictures`.
        state: (b, l, S), or None.
        prompt: of b instructions.
        continuous: (b, l, chunk, k) in [-1, 1].
        binary: (b, l, chunk, m) in {0, 1}.
        mask: bool (b, l, chunk), the steps that count; None counts all.

    Raises:
        ValueError: the mask counts no step.
    """
    if mask is not None:
        # What does not count may be anything, yet it is spoken too: later frames of a sequence hear it.
        masked = ~mask.unsqueeze(-1)
        continuous = torch.where(masked & ~continuous.isfinite(), 0.0, continuous)
        binary = torch.where(masked & (binary != 0) & (binary != 1), 0.0, binary)
    ids = action_ids(_bins(model), continuous, binary)
    width = continuous.shape[-1] + binary.shape[-1]
    counts = torch.ones_like(ids, dtype=torch.bool) if mask is None else mask.repeat_interleave(width, dim=-1)
    together = model.config.history == "pre"
    return token_loss(*answer_logits(model, images, state, prompt, ids, counts, together=together))


def answer_logits(
    model: VLAModel,
    images: Tensor,
    state: Tensor | None,
    prompt: EncodedPrompt,
    ids: Tensor,
    counts: Tensor,
    *,
    together: bool,
    lengths: Several[int] | None = None,
) -> tuple[Tensor, Tensor]:
    """Foretell tokens in the place of `{action}`, each from all before it, and the words after them.

    Args:
        model: its backbone speaks.
        images: (b, l, c, q, w).
        state: (b, l, S), or None.
        prompt: of b instructions.
        ids: int64 (b, l, n).
        counts: bool (b, l, n), those that are to be foretold; the words after them are if any of these is.
        together: one sequence of l prompts for each sample, instead of l of one.
        lengths: for each sample how many of the n tokens are there; None: all.

    Returns:
        Logits (tokens, vocabulary) and the true ids, int64 (tokens,).

    Raises:
        ValueError: lengths of which none is n.
    """
    if lengths is not None and max(lengths) != ids.shape[2]:
        raise ValueError(f"answers of at most {max(lengths)} tokens in {ids.shape[2]} columns")
    answers = model.backbone.word_embedding(ids)
    sequence = model.sequence(prompt, images, state, answers, together=together, lengths=lengths)
    states = model.backbone.run(sequence)
    layout = sequence.layout
    words = prompt.ids if together else prompt.ids.repeat_interleave(ids.shape[1], dim=0)
    answered, learnt = ids.reshape(len(words), -1), counts.reshape(len(words), -1)
    # The same bank that the embeddings were gathered from, as ids and as what counts.
    others = words.new_zeros(len(words), int(layout.source.max()) + 1 - words.shape[1] - answered.shape[1])
    targets = torch.cat([words, others, answered], dim=1).gather(1, layout.source)
    in_bank = torch.cat([torch.ones_like(words), torch.ones_like(others), learnt.long()], dim=1).bool()
    in_frame = learnt.view(len(words), layout.frames, -1).any(dim=-1)
    wanted = layout.answer & in_bank.gather(1, layout.source) & in_frame.gather(1, layout.frame)
    # The token in column j is foretold by the state in column j - 1.
    return model.backbone.logits(states[:, :-1][wanted[:, 1:]]), targets[:, 1:][wanted[:, 1:]]


@torch.inference_mode()
def speak_actions(model: VLAModel, sequence: Sequence) -> Spoken:
    """Decode one chunk after open-ended sequences (see `VLAModel.sequence`), greedily, keys and values kept.

    Args:
        model: with the discrete head.
        sequence: b sequences that end where the action begins.
    """
    bins, spec, chunk = _bins(model), model.config.action, model.config.chunk
    every = torch.tensor(list(bins.ids), device=sequence.embeds.device)
    either = torch.tensor(bins.binary_ids, device=sequence.embeds.device)
    cache = DecoderCache()
    states = model.backbone.run(sequence, cache)
    last = (sequence.layout.kinds != PADDING).sum(dim=1) - 1
    state = states[torch.arange(len(states), device=states.device), last]
    seen = sequence.layout.seen.gather(1, last.unsqueeze(1))
    ids: list[Tensor] = []
    probabilities: list[Tensor] = []
    for dimension in range(chunk * spec.width):
        if ids:
            state = model.backbone.run(_one_token(model, sequence, ids[-1], seen), cache)[:, 0]
        is_binary = dimension % spec.width >= len(spec.continuous)
        choice = either if is_binary else every
        logits = model.backbone.logits(state)[:, choice].float()
        ids.append(choice[logits.argmax(dim=-1)])
        if is_binary:
            probabilities.append(logits.softmax(dim=-1)[:, 1])
    spoken = torch.stack(ids, dim=1)
    continuous = bins.decode(spoken.view(len(spoken), chunk, -1)[..., : len(spec.continuous)]).float()
    binary = torch.stack(probabilities, dim=1) if probabilities else continuous.new_zeros(len(spoken), 0)
    return Spoken(spoken, continuous, binary.view(len(spoken), chunk, len(spec.binary)))


def _one_token(model: VLAModel, sequence: Sequence, ids: Tensor, seen: Tensor) -> Sequence:
    """The next token of each sample, int64 (b,), in the last frame of `sequence`."""
    column = torch.zeros_like(seen)
    layout = Layout(
        source=column,
        kinds=torch.full_like(seen, ACTION_TOKEN),
        seen=seen,
        frame=column,
        answer=torch.ones_like(seen, dtype=torch.bool),
        frames=1,
        image_tokens=sequence.layout.image_tokens,
    )
    pictures = sequence.images.shape[1] // sequence.layout.frames
    return Sequence(model.backbone.word_embedding(ids.unsqueeze(1)), layout, sequence.images[:, -pictures:])


def _bins(model: VLAModel) -> ActionBins:
    if model.bins is None:
        raise TypeError(f"this policy acts by its {model.config.head.type} head and does not speak its actions")
    return model.bins
