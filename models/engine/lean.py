"""Kosmos-2 and CLIP as a control step needs them: no language head, no cache, no mask, no position that is not read.

The modules hold the weights of transformers' own ones and compute the same. They take plain tensors and have no
branches that depend on data, so that they can be compiled, captured in CUDA graphs and exported.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..clip import ClipGrounding
from ..configuration import PolicyConfig


def _heads(states: Tensor, heads: int) -> Tensor:
    """(b, n, d) -> (b, heads, n, d / heads)."""
    return states.unflatten(2, (heads, -1)).transpose(1, 2)  # type: ignore[no-any-return]


def _attention(
    query: Tensor, key: Tensor, value: Tensor, heads: int, *, causal: bool = False, seen: Tensor | None = None
) -> Tensor:
    """(b, n, d), (b, m, d), (b, m, d) -> (b, n, d); `seen` bool (n, m), which keys a query sees."""
    mixed = F.scaled_dot_product_attention(
        _heads(query, heads), _heads(key, heads), _heads(value, heads), attn_mask=seen, is_causal=causal
    )
    return mixed.transpose(1, 2).flatten(2)


class LeanVision(nn.Module):
    """A CLIP vision tower, Kosmos-2's or CLIP's own: pixels -> states of all patches after the last layer norm."""

    def __init__(self, tower: Any) -> None:
        super().__init__()
        self.embeddings, self.pre = tower.embeddings, tower.pre_layrnorm
        self.layers, self.post = tower.encoder.layers, tower.post_layernorm
        self.heads = int(self.layers[0].self_attn.num_heads)

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalised pictures (n, 3, s, s) -> (n, 1 + patches, d); the first is the class token's."""
        patches = self.embeddings.patch_embedding(pixels).flatten(2).transpose(1, 2)
        first = self.embeddings.class_embedding.expand(len(pixels), 1, -1)
        states = torch.cat([first, patches], dim=1) + self.embeddings.position_embedding.weight
        states = self.pre(states)
        for layer in self.layers:
            attention, normed = layer.self_attn, layer.layer_norm1(states)
            mixed = _attention(attention.q_proj(normed), attention.k_proj(normed), attention.v_proj(normed), self.heads)
            states = states + attention.out_proj(mixed)
            states = states + layer.mlp(layer.layer_norm2(states))
        return self.post(states)  # type: ignore[no-any-return]


class LeanConnector(nn.Module):
    """Kosmos-2's cross-attention from its latents to the patches; what depends on the latents alone is kept."""

    query: Tensor
    key: Tensor
    value: Tensor

    def __init__(self, projection: Any) -> None:
        super().__init__()
        self.dense, self.attention = projection.dense, projection.x_attn
        self.latents = projection.latent_query
        self.heads = int(self.attention.num_heads)
        for name in ("query", "key", "value"):
            self.register_buffer(name, torch.empty_like(self.latents).unsqueeze(0), persistent=False)
        self.refresh()

    @torch.no_grad()
    def refresh(self) -> None:
        """Compute what is kept anew, from the weights as they are now."""
        latents = self.latents.unsqueeze(0)
        self.query.copy_(self.attention.q_proj(latents))
        self.key.copy_(self.attention.k_proj(latents))
        self.value.copy_(self.attention.v_proj(latents))

    def forward(self, states: Tensor) -> Tensor:
        """States of patches (n, p, v) -> latents (n, q, d)."""
        patches = self.dense(F.normalize(states, dim=-1))
        count = len(states)
        key = torch.cat([self.attention.k_proj(patches), self.key.expand(count, -1, -1)], dim=1)
        value = torch.cat([self.attention.v_proj(patches), self.value.expand(count, -1, -1)], dim=1)
        mixed = _attention(self.query.expand(count, -1, -1), key, value, self.heads)
        return self.attention.out_proj(mixed)  # type: ignore[no-any-return]


class LeanText(nn.Module):
    """Kosmos-2's decoder over one frame's prompt, and the read-out of it.

    Args:
        decoder: transformers' Kosmos2TextTransformer.
        pooling: None: all tokens to be read, side by side; otherwise "max" or "mean" over them.
    """

    def __init__(self, decoder: Any, pooling: str | None) -> None:
        super().__init__()
        self.scale = float(decoder.embed_scale)
        self.layers, self.norm = decoder.layers, decoder.layer_norm
        self.heads = int(self.layers[0].self_attn.num_heads)
        self.pooling = pooling

    def forward(self, latents: Tensor, words: Tensor, source: Tensor, positions: Tensor, read: Tensor) -> Tensor:
        """Run the decoder.

        Args:
            latents: (1, m, d), of all the frame's pictures.
            words: (1, t, d), what else stands in the sequence.
            source: int64 (L,), what stands where: rows of [words | latents].
            positions: (L, d), position embeddings.
            read: int64 (r,), where to read.

        Returns:
            (1, r * d), or (1, d) with a pooling.
        """
        states = torch.cat([words, latents], dim=1).index_select(1, source) * self.scale + positions
        for layer in self.layers[:-1]:
            states = self._block(layer, states)
        found: Tensor = self.norm(self._last(self.layers[-1], states, read))
        return pool(found, self.pooling)

    def _block(self, layer: Any, states: Tensor) -> Tensor:
        attention, normed = layer.self_attn, layer.self_attn_layer_norm(states)
        query, key, value = attention.q_proj(normed), attention.k_proj(normed), attention.v_proj(normed)
        mixed = _attention(query, key, value, self.heads, causal=True)
        return self._after(layer, states, mixed)

    def _last(self, layer: Any, states: Tensor, read: Tensor) -> Tensor:
        """The last block, of the tokens that are read."""
        attention, normed = layer.self_attn, layer.self_attn_layer_norm(states)
        key, value = attention.k_proj(normed), attention.v_proj(normed)
        query = attention.q_proj(normed.index_select(1, read))
        # A token sees itself and what stands before it; in the other blocks SDPA knows that by itself.
        seen = torch.arange(states.shape[1], device=states.device) <= read.unsqueeze(1)
        mixed = _attention(query, key, value, self.heads, seen=seen)
        return self._after(layer, states.index_select(1, read), mixed)

    def _after(self, layer: Any, states: Tensor, mixed: Tensor) -> Tensor:
        attention, ffn = layer.self_attn, layer.ffn
        states = states + attention.out_proj(attention.inner_attn_ln(mixed))
        inner = ffn.ffn_layernorm(ffn.activation_fn(ffn.fc1(layer.final_layer_norm(states))))
        return states + ffn.fc2(inner)  # type: ignore[no-any-return]


class LeanClip(nn.Module):
    """The features of CLIP's picture that a policy fuses, in the order of `names`."""

    def __init__(self, clip: ClipGrounding, names: tuple[str, ...]) -> None:
        super().__init__()
        self.vision = LeanVision(clip.clip.vision_model)
        self.grounding, self.names = clip, names

    def forward(self, pixels: Tensor, prompts: Tensor) -> tuple[Tensor, ...]:
        """Normalised pictures (n, 3, s, s) and embeddings of the prompts (1, k, e) -> each feature (n, size)."""
        states = self.vision(pixels)
        pooled = states[:, 0]
        project = self.grounding.clip.visual_projection
        found = {"clip_image_pooled": pooled}
        if "clip_similarity" in self.names:
            embeddings = project(states)
            raw, patches = embeddings[:, 0], F.normalize(embeddings[:, 1:], dim=-1)
            found["clip_similarity"] = self.grounding.similarity(patches, prompts).sigmoid().flatten(1)
        else:
            raw = project(pooled)
        found |= {"clip_image_raw": raw, "clip_image": F.normalize(raw, dim=-1)}
        return tuple(found[name] for name in self.names)


def pool(found: Tensor, pooling: str | None) -> Tensor:
    """What was read (1, r, d) -> (1, r * d), or (1, d) with a pooling, "max" or "mean"."""
    if pooling is None:
        return found.flatten(1)
    return found.mean(dim=1) if pooling == "mean" else found.amax(dim=1)


def pooling_of(config: PolicyConfig) -> str | None:
    """How `LeanText` pools what it reads, for a policy's read-out."""
    readout = config.readout
    if readout is None or readout.type != "pooled" or readout.pooling in ("first", "last"):
        return None
    return readout.pooling
