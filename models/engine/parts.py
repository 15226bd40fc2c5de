"""What a step is made of, and what an instruction comes to for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ..configuration import PolicyConfig
from ..modeling import EncodedInstruction, VLAModel
from ..sequence import ACTION_TOKEN, BOUNDARY_TOKEN, IMAGE_TOKEN, PADDING, TEXT_TOKEN, lay_out


class Parts(Protocol):
    """The computations of a step, by whatever runs them. Tensors are on the engine's device, of its dtypes."""

    def see(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """float32 pictures (c, 3, s, s) -> latents (c, q, d), pooled state of the vision tower (c, v)."""

    def read(self, latents: Tensor, prepared: Prepared) -> Tensor:
        """Latents (1, m, d) -> the feature `backbone`, (1, size)."""

    def clip(self, pixels: Tensor, prepared: Prepared) -> tuple[Tensor, ...]:
        """A float32 picture (1, 3, s, s) -> CLIP's features of it, (1, size) each, in the order of the fusion's."""

    def fuse(self, features: Tensor) -> Tensor:
        """Features of a frame side by side (1, w) -> what the head takes of it (1, f)."""

    def act(self, window: Tensor) -> tuple[Tensor, Tensor]:
        """Fused features (1, l, f) -> continuous group (chunk, k), probabilities of the binary group (chunk, m)."""


class PassedOn:
    """Parts that pass everything on to others, for those who look at some of it on its way.

    Args:
        parts: that compute.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def see(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """See `Parts.see`."""
        return self._parts.see(pixels)

    def read(self, latents: Tensor, prepared: Prepared) -> Tensor:
        """See `Parts.read`."""
        return self._parts.read(latents, prepared)

    def clip(self, pixels: Tensor, prepared: Prepared) -> tuple[Tensor, ...]:
        """See `Parts.clip`."""
        return self._parts.clip(pixels, prepared)

    def fuse(self, features: Tensor) -> Tensor:
        """See `Parts.fuse`."""
        return self._parts.fuse(features)

    def act(self, window: Tensor) -> tuple[Tensor, Tensor]:
        """See `Parts.act`."""
        return self._parts.act(window)


@dataclass(frozen=True)
class Prepared:
    """An instruction, ready for every frame of its run.

    Attributes:
        words: (1, t, d), embeddings of what stands in the sequence beside pictures.
        source: int64 (L,), what stands where: rows of [words | latents].
        positions: (L, d), position embeddings.
        read: int64 (r,), where the decoder is read.
        cameras: int64 (c,), the cameras in the order of their places.
        clip_text: CLIP's features of the words by name, (1, size).
        clip_prompts: (1, n, e), what patches are compared with; n may be 0.
    """

    words: Tensor
    source: Tensor
    positions: Tensor
    read: Tensor
    cameras: Tensor
    clip_text: dict[str, Tensor]
    clip_prompts: Tensor


def why_not_lean(config: PolicyConfig) -> str | None:
    """Why a policy's step is none of the lean ones; None if it is."""
    readout = config.readout
    if config.backbone.type != "kosmos2":
        return f"its backbone is {config.backbone.type}"
    if config.history not in ("post", "none") or config.head.type == "discrete":
        return f"its history is {config.history}, its head {config.head.type}"
    if config.resampler is not None or config.state:
        return "it has a resampler or takes a state"
    if readout is not None and readout.type == "pooled" and readout.tokens != 1:
        return f"its read-out pools to {readout.tokens} tokens"
    return None


def prepare(model: VLAModel, instruction: EncodedInstruction) -> Prepared:
    """Everything of an instruction that frames do not change."""
    prompt, config = instruction.prompt, model.config
    tokens = model.action_tokens
    count = 0 if tokens is None else len(tokens)
    latents = int(model.backbone.model.config.latent_query_num)
    layout = lay_out(prompt, image_tokens=latents, pictures=1, action_tokens=count)
    kinds = layout.kinds[0]
    length = int((kinds != PADDING).sum())
    kinds, source = kinds[:length], layout.source[0, :length]
    text, pictures = prompt.ids.shape[1], len(prompt.cameras) * latents
    # lay_out's bank is [text | pictures | state | actions]; there is no state, and pictures come last here.
    moved = torch.where(source < text, source, source + count)
    moved = torch.where(source > text + pictures, source - pictures - 1, moved)
    words = model.backbone.word_embedding(prompt.ids)
    if tokens is not None:
        words = torch.cat([words, tokens.unsqueeze(0)], dim=1)
    decoder = model.backbone.model.text_model.model
    first = model.backbone.first_position()
    positions = decoder.embed_positions.weights[first : first + length].to(words)
    prompts = instruction.clip_prompts
    return Prepared(
        words=words,
        source=moved.to(model.device),
        positions=positions,
        read=_read_positions(config, kinds).to(model.device),
        cameras=torch.tensor([config.cameras.index(name) for name in prompt.cameras], device=model.device),
        clip_text=instruction.clip_text,
        clip_prompts=prompts if prompts is not None else words.new_zeros(1, 0, 1),
    )


def _read_positions(config: PolicyConfig, kinds: Tensor) -> Tensor:
    readout = config.readout
    if readout is None or readout.type == "action_token":
        return (kinds == ACTION_TOKEN).nonzero().flatten()
    wanted = {"text": (TEXT_TOKEN,), "vision": (IMAGE_TOKEN,), "all": (TEXT_TOKEN, BOUNDARY_TOKEN, IMAGE_TOKEN)}
    found = torch.isin(kinds, torch.tensor(wanted[readout.source])).nonzero().flatten()
    if readout.pooling == "first":
        return found[:1]
    return found[-1:] if readout.pooling == "last" else found
