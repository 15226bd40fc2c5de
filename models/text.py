"""Tokenizers, released or trained on a task's own sentences, and right-padded batches of tokens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from os import PathLike

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from .errors import MobileVLAError
from .sentence import normalize_instruction

PAD, BOS, UNK, EOS = "<pad>", "<s>", "<unk>", "</s>"


def train_tokenizer(sentences: Iterable[str], vocab_size: int, max_length: int) -> PreTrainedTokenizerFast:
    """Train a lower-casing byte-level BPE on `sentences`. Ids: <pad> 0, <s> 1, <unk> 2, </s> 3.

    Byte-level, so that a word never seen is spelt out rather than lost. <s> and </s> are added around every text.
    """
    tokenizer = Tokenizer(models.BPE(unk_token=UNK))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase(), normalizers.Strip()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[PAD, BOS, UNK, EOS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(sorted(set(sentences)), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A {EOS}", special_tokens=[(BOS, 1), (EOS, 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        bos_token=BOS,
        unk_token=UNK,
        eos_token=EOS,
        model_max_length=max_length,
        padding_side="right",
    )


def read_tokenizer(source: str | PathLike[str], error: type[MobileVLAError], *, hub: bool) -> PreTrainedTokenizerBase:
    """A released tokenizer.

    Args:
        source: directory, or hub id.
        error: what is raised.
        hub: whether `source` may be a hub id.

    Raises:
        MobileVLAError: of the kind given; no tokenizer can be read there.
    """
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(source, local_files_only=not hub)
    except (OSError, ValueError) as reason:
        raise error(f"{source}: not a readable tokenizer ({reason})") from reason
    return tokenizer


def encode(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_length: int) -> tuple[Tensor, Tensor]:
    """Encode texts to right-padded ids and mask, both int64 (b, longest).

    Raises:
        ValueError: a text is empty or longer than `max_length` tokens (an instruction is never cut silently).
    """
    for text in texts:
        if not normalize_instruction(text):
            raise ValueError("an instruction must not be empty")
    encoded = tokenizer(list(texts), padding=False, truncation=False)["input_ids"]
    for text, ids in zip(texts, encoded, strict=True):
        if len(ids) > max_length:
            raise ValueError(f"instruction of {len(ids)} tokens is longer than the {max_length} allowed: {text!r}")
    mask = pad_sequence([torch.ones(len(ids), dtype=torch.int64) for ids in encoded], batch_first=True)
    return pad_rows(encoded, int(tokenizer.pad_token_id)), mask


def pad_rows(rows: Sequence[Sequence[int]], value: int) -> Tensor:
    """Rows of ids -> int64 (b, longest), right-padded with `value`."""
    tensors = [torch.tensor(row, dtype=torch.int64) for row in rows]
    return pad_sequence(tensors, batch_first=True, padding_value=value)
