"""The prompt of a policy: a template with places for words, pictures, state and actions, and its tokens.

```
<s>{front}<grounding>An image of a robot {instruction}{action}</s>
```

Special tokens stand in the template as the tokenizer spells them, and nothing is left to what a tokenizer adds by
itself: that differs between tokenizers, and decides what a causal model's action token can see.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from .sentence import normalize_instruction
from .text import pad_rows

INSTRUCTION, STATE, ACTION = "instruction", "state", "action"


@dataclass(frozen=True)
class Words:
    """A stretch of the template that is tokenized as one text; may hold `{instruction}`."""

    text: str


@dataclass(frozen=True)
class Slot:
    """A place for what is no text: a camera's picture by its name, `state`, or `action`."""

    name: str


def parse_prompt(template: str, cameras: Sequence[str], has_state: bool, has_action: bool) -> tuple[Words | Slot, ...]:
    """Split a template at its slots.

    Args:
        template: see the module's docstring.
        cameras: names that must stand in the template, each once.
        has_state: whether `{state}` must stand there.
        has_action: whether `{action}` must stand there: action tokens, or the answer that is spoken.

    Raises:
        ValueError: an unknown, missing or repeated slot, or `{action}` before what it has to see.
    """
    wanted = [*cameras, *([STATE] if has_state else []), *([ACTION] if has_action else [])]
    found = re.findall(r"\{(\w*)\}", template)
    for name in found:
        if name != INSTRUCTION and name not in wanted:
            raise ValueError(f"prompt {template!r} has an unknown place {{{name}}}; known: {INSTRUCTION}, {wanted}")
    for name in (INSTRUCTION, *wanted):
        if found.count(name) != 1:
            raise ValueError(f"prompt {template!r} must hold {{{name}}} once, holds it {found.count(name)} times")
    if has_action and found[-1] != ACTION:
        raise ValueError(
            f"prompt {template!r} has {{{found[-1]}}} after {{{ACTION}}}: a causal model could not see it there"
        )
    pieces = re.split(r"\{(?!" + INSTRUCTION + r"\})(\w+)\}", template)
    parts: list[Words | Slot] = []
    for number, piece in enumerate(pieces):
        if number % 2:
            parts.append(Slot(piece))
        elif piece:
            parts.append(Words(piece))
    return tuple(parts)


@dataclass(frozen=True)
class EncodedPrompt:
    """Tokens of b prompts; what lies between them is decided when the pictures are there.

    Attributes:
        parts: of the template.
        ids: int64 (b, t), all text tokens of each prompt in order, right-padded with 0.
        boundary: bool (b, t), tokens that begin or end a sequence (bos, eos) and say nothing.
        lengths: for each prompt the number of tokens of each `Words` part.
    """

    parts: tuple[Words | Slot, ...]
    ids: Tensor
    boundary: Tensor
    lengths: tuple[tuple[int, ...], ...]

    @property
    def cameras(self) -> tuple[str, ...]:
        """Names of the cameras, in the order of their places."""
        return tuple(part.name for part in self.parts if isinstance(part, Slot) and part.name not in (STATE, ACTION))

    @property
    def has_state(self) -> bool:
        """Whether there is a place for the state."""
        return Slot(STATE) in self.parts

    def to(self, device: torch.device) -> EncodedPrompt:
        """The same on `device`."""
        return EncodedPrompt(self.parts, self.ids.to(device), self.boundary.to(device), self.lengths)


def check_special_tokens(parts: tuple[Words | Slot, ...], tokenizer: PreTrainedTokenizerBase) -> None:
    """Raise ValueError for a `<token>` of the template that `tokenizer` would spell letter by letter."""
    for part in parts:
        for token in re.findall(r"<[^<>\s]+>", part.text) if isinstance(part, Words) else ():
            if tokenizer(token, add_special_tokens=False)["input_ids"] != [tokenizer.convert_tokens_to_ids(token)]:
                raise ValueError(f"prompt: {token!r} is no token of the tokenizer")


def check_instruction(instruction: str, tokenizer: PreTrainedTokenizerBase) -> None:
    """Raise ValueError for an instruction that is empty or would pass for a special token of the template."""
    if not normalize_instruction(instruction):
        raise ValueError("an instruction must not be empty")
    added = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
    for token in sorted({*tokenizer.all_special_tokens, *added}):
        if token in instruction:
            raise ValueError(f"instruction {instruction!r} holds the special token {token!r}")


def encode_prompts(
    parts: tuple[Words | Slot, ...], instructions: Sequence[str], tokenizer: PreTrainedTokenizerBase
) -> EncodedPrompt:
    """Put each instruction into the template and tokenize.

    Raises:
        ValueError: an instruction is empty or holds a special token.
    """
    ends = (tokenizer.bos_token_id, tokenizer.eos_token_id)
    rows: list[list[int]] = []
    lengths: list[tuple[int, ...]] = []
    for instruction in instructions:
        check_instruction(instruction, tokenizer)
        texts = [part.text.replace(f"{{{INSTRUCTION}}}", instruction) for part in parts if isinstance(part, Words)]
        pieces = [list(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts]
        rows.append([token for piece in pieces for token in piece])
        lengths.append(tuple(len(piece) for piece in pieces))
    boundary = pad_rows([[token in ends for token in row] for row in rows], 0).bool()
    return EncodedPrompt(parts, pad_rows(rows, 0), boundary, tuple(lengths))
