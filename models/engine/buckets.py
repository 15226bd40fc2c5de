"""Prompts of few lengths: what is compiled or captured for one length serves all of its bucket."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from .parts import Prepared

# Tokens. The decoder computes half as many for nothing, on average.
BUCKET = 16


def pad_prompt(prepared: Prepared) -> Prepared:
    """Pad the sequence at its end to a multiple of `BUCKET`.

    The decoder is causal: what stands at the end changes nothing before it, and `read` stays what it is.
    """
    words = prepared.words.shape[1]
    extra = -len(prepared.source) % BUCKET
    # Pictures come after all words, the added ones too.
    source = torch.where(prepared.source < words, prepared.source, prepared.source + extra)
    return replace(
        prepared,
        words=F.pad(prepared.words, (0, 0, 0, extra)),
        source=F.pad(source, (0, extra), value=words),
        positions=F.pad(prepared.positions, (0, 0, 0, extra)),
    )


def pad_read(read: Tensor) -> Tensor:
    """Pad the places to be read (r,) to a multiple of `BUCKET`; what is read there beyond the first r is to be dropped.

    Place 0, which is added, is in every sequence.
    """
    return F.pad(read, (0, -len(read) % BUCKET))
