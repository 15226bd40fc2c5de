"""A plain training loop, as RoboVLMs' (Liu et al., 2024) is: each sample's whole window through the whole model.

Every picture of every window is decoded and encoded again, attention is eager, the language head speaks at every
place of the sequence and nobody listens. What trains is the same as in the other loop: the head.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.optim import AdamW

from ...policy_directory import PolicyParts
from ...training.examples import ExampleBatches, PictureWindows
from ...training.tasks import ActionTaskConfig, answer_losses


def plain_loop(parts: PolicyParts, batches: ExampleBatches, task: ActionTaskConfig) -> Callable[[int], float]:
    """A function that takes a step by its number and gives its loss."""
    model, encoder = parts.model, parts.encoder
    vlm = model.backbone.model
    vlm.set_attn_implementation("eager")
    model.requires_grad_(False)
    head = model.head
    if head is None:
        raise TypeError("the plain loop trains a head, the policy has none")
    head.requires_grad_(True)
    optimizer = AdamW(head.parameters(), lr=1e-3)

    def step(number: int) -> float:
        batch = batches(number, 0, 1)
        if not isinstance(batch, PictureWindows):
            raise TypeError("the plain loop takes pictures")
        model.train()
        instruction = encoder(model, batch.instructions)
        count, length = batch.pictures.shape[:2]
        images = model.encode_pictures(batch.pictures.flatten(0, 2)).view(
            count, length, 1, -1, model.backbone.hidden_size
        )
        tokens = model.action_embeddings(count, length)
        sequence = model.sequence(instruction.prompt, images, None, tokens, together=False)
        states = model.backbone.run(sequence)
        vlm.get_output_embeddings()(states)
        features = model.read(sequence, states).flatten(2).view(count, length, -1)
        losses = answer_losses(head(features), (batch.continuous, batch.binary, batch.mask), task)
        optimizer.zero_grad(set_to_none=True)
        losses["action"].backward()
        torch.nn.utils.clip_grad_norm_(head.parameters(), 1.0)
        optimizer.step()
        return float(losses["action"].detach())

    return step
