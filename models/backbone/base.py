"""What a vision-language model has to offer to become the backbone of a policy, and how it is run.

A backbone is a transformers model behind a handful of properties. Its decoder is driven with embeddings that are
composed outside (see `sequence.py`), never with `pixel_values`: so pictures are encoded once, no language head runs
over tokens that nobody reads, and installed packages stay as they are.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedModel

from ..errors import BackboneError
from ..sequence import IMAGE_TOKEN, PADDING, Sequence

_LAYER_TYPES = {"full_attention", "sliding_attention"}


class DecoderCache:
    """Keys and values of what a decoder has seen, to go on from there.

    Attributes:
        keys: transformers' cache; one without sliding layers, as masks are given.
        mask: bool (b, s), which of the tokens seen are no padding.
        next_position: int64 (b,), position of the next token of each sample.
    """

    def __init__(self) -> None:
        self.keys = DynamicCache()
        self.mask: Tensor | None = None
        self.next_position: Tensor | None = None


class Backbone(nn.Module, ABC):
    """Base of all backbones. A subclass names the parts of its model; where a family differs, it overrides a step.

    What must be there: `text_tower`, `vision_tower`, `encode_images`.
    What has a default that suits causal decoders with one-dimensional positions: `word_embedding`, `hidden_size`,
    `text_config`, `image_size`, `max_length`, `first_position`, `positions`, `attention_blocks`, `decode`, `logits`.
    """

    # transformers' models name their parts by attributes that no type tells of.
    model: Any
    # Whose models a backbone drives; others may have all the parts and mean something else by them.
    model_types: ClassVar[frozenset[str] | None] = None

    def __init__(self, model: PreTrainedModel, language_head: bool) -> None:
        """Take a model over.

        Args:
            model: as transformers builds or loads it.
            language_head: keep the head that spells tokens; actions in continuous groups do not need it.

        Raises:
            BackboneError: a part is missing; it is named.
        """
        super().__init__()
        self.model = model
        self.check()
        if not language_head:
            model.set_output_embeddings(nn.Identity())

    @property
    def word_embedding(self) -> nn.Embedding:
        """Token ids -> embeddings as the decoder takes them."""
        return self.text_tower.embed_tokens  # type: ignore[return-value]

    @property
    @abstractmethod
    def text_tower(self) -> nn.Module:
        """The decoder; its blocks are `layers`."""

    @property
    @abstractmethod
    def vision_tower(self) -> nn.Module:
        """What looks at pixels."""

    @abstractmethod
    def encode_images(self, pixels: Tensor) -> Tensor:
        """Normalised pictures (n, 3, s, s) -> features (n, q, w).

        The first `hidden_size` columns are embeddings for the decoder; what lies beyond is the backbone's own affair,
        as are all of them where pictures are looked at by cross-attention.
        """

    @property
    def vision_modules(self) -> tuple[nn.Module, ...]:
        """All that `encode_images` runs; none: not told, and they are of the decoder's precision."""
        return ()

    def encode_images_pooled(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """As `encode_images`, and the vision tower's pooled state of each picture (n, vision_size).

        Raises:
            BackboneError: its vision tower pools nothing.
        """
        raise BackboneError(f"{type(self).__name__} has no pooled state of a picture: no feature backbone_vision")

    @property
    def vision_size(self) -> int:
        """Width of the vision tower."""
        return int(self.model.config.vision_config.hidden_size)

    @property
    def hidden_size(self) -> int:
        """Width of the decoder."""
        return int(self.text_config.hidden_size)

    @property
    def image_size(self) -> int | None:
        """Side of the pictures that the vision tower was made for; None: it takes them of any size."""
        return int(self.model.config.vision_config.image_size)

    @property
    def vocabulary_size(self) -> int:
        """Number of token ids that the word embedding knows."""
        return self.word_embedding.num_embeddings + getattr(self.word_embedding, "num_additional_embeddings", 0)

    @property
    def max_length(self) -> int:
        """Most tokens of a sequence."""
        return int(self.text_config.max_position_embeddings)

    @property
    def text_config(self) -> Any:
        """Configuration of the decoder, as transformers has it."""
        return self.model.config.get_text_config()

    @property
    def cross_attends(self) -> bool:
        """Whether pictures are looked at by cross-attention, instead of standing in the sequence."""
        return False

    def attention_blocks(self, sequence: Sequence) -> Tensor | None:
        """Groups of tokens that see each other whatever their order: int64 (b, L), -1 for none; None: all causal."""
        return None

    def positions(self, sequence: Sequence, start: Tensor) -> tuple[Tensor, Tensor]:
        """Positions of the tokens.

        Args:
            sequence: (b, L).
            start: int64 (b,), position of each sample's first token.

        Returns:
            `position_ids` as the decoder takes them, and int64 (b,), where each sample goes on.
        """
        kinds = sequence.layout.kinds
        steps = torch.arange(kinds.shape[1], device=kinds.device)
        return start.unsqueeze(1) + steps, start + (kinds != PADDING).sum(dim=1)

    def first_position(self) -> int:
        """Position of the first token."""
        return 0

    def decode(self, sequence: Sequence, **arguments: Any) -> Tensor:
        """One pass of the decoder -> last hidden states, (b, L, hidden_size), after the final norm."""
        return self.text_tower(inputs_embeds=sequence.embeds, **arguments).last_hidden_state  # type: ignore[no-any-return]

    def logits(self, states: Tensor) -> Tensor:
        """Hidden states (..., hidden_size) -> logits over the vocabulary (..., v).

        Raises:
            BackboneError: it was built without a language head.
        """
        head = self.model.get_output_embeddings()
        if isinstance(head, nn.Identity):
            raise BackboneError(f"{type(self).__name__} was built without its language head: it has no logits")
        logits: Tensor = head(states)
        cap = getattr(self.text_config, "final_logit_softcapping", None)
        return logits if cap is None else torch.tanh(logits / cap) * cap

    def run(self, sequence: Sequence, cache: DecoderCache | None = None) -> Tensor:
        """Run the decoder over a sequence, or over what comes after the sequences that `cache` has seen.

        Returns:
            (b, L, hidden_size), last hidden states after the final norm; `cache` is updated.

        Raises:
            ValueError: the sequence is longer than the model's positions reach.
        """
        embeds, layout = sequence.embeds, sequence.layout
        valid = layout.kinds != PADDING
        past = cache.mask if cache is not None else None
        start = cache.next_position if cache is not None else None
        if start is None:
            start = torch.full((len(embeds),), self.first_position(), dtype=torch.int64, device=embeds.device)
        mask = valid if past is None else torch.cat([past, valid], dim=1)
        if mask.shape[1] > self.max_length:
            raise ValueError(f"a sequence of {mask.shape[1]} tokens is longer than the {self.max_length} allowed")
        position_ids, following = self.positions(sequence, start)
        states = self.decode(
            sequence,
            attention_mask=self._attention_mask(mask, self.attention_blocks(sequence), embeds),
            position_ids=position_ids,
            past_key_values=cache.keys if cache is not None else None,
            use_cache=cache is not None,
        )
        if cache is not None:
            cache.mask, cache.next_position = mask, following
        return states

    def check(self) -> None:
        """Raise BackboneError unless every part is there and fits; the message names what is missing."""
        model_type = self.model.config.model_type
        if self.model_types is not None and model_type not in self.model_types:
            raise BackboneError(f"{type(self).__name__} drives {', '.join(self.model_types)}, and no {model_type}")
        for name, kind in (
            ("text_tower", nn.Module),
            ("vision_tower", nn.Module),
            ("hidden_size", int),
            ("word_embedding", nn.Embedding),
        ):
            try:
                # Asked of the property itself: by getattr, torch would say that the property is missing, and not what
                # it did not find.
                member = getattr(type(self), name)
                part = member.__get__(self) if isinstance(member, property) else getattr(self, name)
            except AttributeError as error:
                model = type(self.model).__name__
                raise BackboneError(f"{type(self).__name__}: {model} has no {name}: {error}") from error
            if not isinstance(part, kind):
                raise BackboneError(
                    f"{type(self).__name__}.{name} is a {type(part).__name__}, expected {kind.__name__}"
                )
        if not isinstance(getattr(self.text_tower, "layers", None), nn.ModuleList):
            raise BackboneError(
                f"{type(self).__name__}.text_tower, a {type(self.text_tower).__name__}, has no `layers`: "
                "it is not a decoder"
            )
        unknown = set(getattr(self.text_config, "layer_types", None) or ()) - _LAYER_TYPES
        if unknown:
            raise BackboneError(
                f"{type(self).__name__}.text_tower, a {type(self.text_tower).__name__}, has layers of type "
                f"{', '.join(sorted(unknown))}; supported: {', '.join(sorted(_LAYER_TYPES))}"
            )
        if self.word_embedding.embedding_dim != self.hidden_size:
            raise BackboneError(
                f"{type(self).__name__}.word_embedding is {self.word_embedding.embedding_dim} wide, "
                f"hidden_size {self.hidden_size}"
            )

    def _attention_mask(self, mask: Tensor, blocks: Tensor | None, embeds: Tensor) -> Tensor | dict[str, Tensor]:
        """The mask of all tokens (b, S) where the decoder makes the right one of it; else additive (b, 1, L, S).

        A dictionary of two if some layers look no further back than a window: transformers counts it in columns, and
        here it is counted in tokens, so that padding between two parts of a sequence is not in its way.
        """
        layers = getattr(self.text_config, "layer_types", None) or ()
        if blocks is None and "sliding_attention" not in layers:
            return mask.long()
        length, total = embeds.shape[1], mask.shape[1]
        columns = torch.arange(total, device=mask.device)
        rows = columns[total - length :].unsqueeze(1)
        seen = columns <= rows
        if blocks is not None:
            same = (blocks.unsqueeze(2) == blocks.unsqueeze(1)) & (blocks >= 0).unsqueeze(2)
            seen = seen | nn.functional.pad(same, (total - length, 0))
        # A row of padding sees itself: attention over nothing is NaN.
        seen = (seen & mask.unsqueeze(1)) | (columns == rows)
        if "sliding_attention" not in layers:
            return _additive(seen, embeds.dtype)
        index = mask.cumsum(dim=1)
        near = index.unsqueeze(1) > index[:, total - length :].unsqueeze(2) - self.text_config.sliding_window
        return {
            "full_attention": _additive(seen, embeds.dtype),
            "sliding_attention": _additive(seen & near, embeds.dtype),
        }


def _additive(seen: Tensor, dtype: torch.dtype) -> Tensor:
    """Mask bool (b, L, S) -> (b, 1, L, S), 0 or the least number."""
    return torch.zeros_like(seen, dtype=dtype).masked_fill(~seen, torch.finfo(dtype).min).unsqueeze(1)


def picture_of(sequence: Sequence) -> Tensor:
    """Which picture each token is part of: int64 (b, L), distinct for each picture of the sequence, -1 for others."""
    layout = sequence.layout
    number = layout.frame * (layout.kinds.shape[1] + 1) + layout.seen
    return torch.where(layout.kinds == IMAGE_TOKEN, number, -1)
