"""What is read of the backbone's last states: the action tokens, or a pool of the prompt's other tokens."""

from __future__ import annotations

import torch
from torch import Tensor

from .configuration import ActionTokenReadout, PooledReadout
from .pooling import end_token, mean_token, pool_tokens
from .sequence import ACTION_TOKEN, IMAGE_TOKEN, PADDING, TEXT_TOKEN, Layout


def read_out(states: Tensor, layout: Layout, readout: ActionTokenReadout | PooledReadout) -> Tensor:
    """Last states (b, L, d) -> (b, frames, tokens, d); padding is never among what is read.

    Raises:
        ValueError: nothing to pool, such as the pictures of a model that does not have them in its sequence.
    """
    if readout.type == "action_token":
        picked = states[layout.kinds == ACTION_TOKEN]
        return picked.view(len(states), layout.frames, readout.tokens, states.shape[-1])
    if readout.source == "text":
        wanted = layout.kinds == TEXT_TOKEN
    elif readout.source == "vision":
        wanted = layout.kinds == IMAGE_TOKEN
    else:
        wanted = layout.kinds != PADDING
    frames = [wanted & (layout.frame == frame) for frame in range(layout.frames)]
    if readout.pooling == "max":
        pooled = [pool_tokens(states, frame, readout.tokens) for frame in frames]
    elif readout.pooling == "mean":
        pooled = [mean_token(states, frame) for frame in frames]
    else:
        pooled = [end_token(states, frame, readout.pooling) for frame in frames]
    return torch.stack(pooled, dim=1)
