"""Spoken actions: keys and values kept, against the whole sequence run for each token."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ..modeling import VLAModel
from ..prompt import EncodedPrompt
from ..spoken import answer_logits, speak_actions
from .subject import subject
from .timing import Comparison, compare


def spoken_actions(repeats: int) -> Iterator[Comparison]:
    """One chunk after a picture that is encoded already."""
    policy = subject("discrete", "none")
    model, prompt = policy.model, policy.instruction.prompt
    with torch.inference_mode():
        images = model.encode_pictures(policy.frames(1)[0])[None, None]

        def kept() -> Tensor:
            sequence = model.sequence(prompt, images, None, None, together=False, open_ended=True)
            return speak_actions(model, sequence).ids

        tokens = model.config.chunk * model.config.action.width
        name = f"spoken actions, {tokens} tokens: keys and values kept"
        yield compare(name, lambda: speak_anew(model, images, prompt), kept, repeats)


@torch.inference_mode()
def speak_anew(model: VLAModel, images: Tensor, prompt: EncodedPrompt) -> Tensor:
    """The ids of `speak_actions`, nothing kept between tokens.

    Args:
        model: with the discrete head.
        images: (b, 1, c, q, w), from `encode_pictures`.
        prompt: of b instructions.

    Returns:
        int64 (b, chunk * (k + m)).
    """
    if model.bins is None:
        raise TypeError("only a policy with the discrete head speaks its actions")
    spec, chunk = model.config.action, model.config.chunk
    every, either = torch.tensor(list(model.bins.ids)), torch.tensor(model.bins.binary_ids)
    ids = torch.zeros(len(images), 1, 0, dtype=torch.int64)
    for number in range(chunk * spec.width):
        # The place of the token that is foretold holds any id: a causal model does not see it.
        asked = torch.cat([ids, ids.new_full((len(images), 1, 1), int(every[0]))], dim=2)
        counts = torch.zeros_like(asked, dtype=torch.bool)
        counts[..., -1] = True
        logits, _ = answer_logits(model, images, None, prompt, asked, counts, together=False)
        # Words that the prompt has after the action are foretold too, later ones than the token asked for.
        logits = logits.view(len(images), -1, logits.shape[-1])[:, 0]
        choice = either if number % spec.width >= len(spec.continuous) else every
        ids = torch.cat([ids, choice[logits[:, choice].argmax(dim=-1)].view(-1, 1, 1)], dim=2)
    return ids[:, 0]
