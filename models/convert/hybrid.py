"""Kosmos-2 + CLIP + LSTM checkpoints (`kosmos_model`, `clip_model`, `feature_fusion`, `rnn`, `actions.mlp`)."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from ..configuration import Limits
from ..errors import ConversionError
from ..instruction import InstructionEncoder
from ..precision import uniform
from ..text import read_tokenizer
from .conversion import Source
from .hybrid_config import hybrid_config, hybrid_tensors
from .hybrid_settings import HybridSettings
from .hybrid_source import HybridSource


def hybrid_source(hybrid: HybridSource, settings: HybridSettings) -> Source:
    """The policy in such a checkpoint, its weights still in the file.

    Args:
        hybrid: of `read_hybrid`.
        settings: what its tensors do not show.

    Raises:
        ConversionError: settings that do not fit the file; the option is named.
    """
    config = hybrid_config(hybrid, settings, uniform("fp32"))
    entries, dropped = hybrid_tensors(hybrid, settings)
    if config.clip_reads and settings.clip_tokenizer is None:
        raise ConversionError("--fusion-inputs has features of CLIP's words: give its tokenizer (--clip-tokenizer)")
    tokenizer = read_tokenizer(settings.tokenizer, ConversionError, hub=True)
    clip_tokenizer = None
    if config.clip_reads and settings.clip_tokenizer is not None:
        clip_tokenizer = read_tokenizer(settings.clip_tokenizer, ConversionError, hub=True)
    try:
        InstructionEncoder(config, tokenizer, clip_tokenizer)
    except ValueError as error:
        raise ConversionError(f"--prompt {settings.prompt!r} and --tokenizer {settings.tokenizer}: {error}") from error
    reasons = Counter(dropped.values())
    notes = [f"{count} tensors left out: {reason}" for reason, count in reasons.items()]
    if settings.limits is None:
        notes.append("no limits of a base (action.limits): no robot drives with this policy before it has some")
    return Source(
        name=hybrid.path.name,
        config=config,
        entries=entries,
        tokenizer=tokenizer,
        clip_tokenizer=clip_tokenizer,
        training={"converted_from": hybrid.path.name, "said": _said(settings), "dropped": dropped},
        notes=tuple(notes),
    )


def _said(settings: HybridSettings) -> dict[str, object]:
    """What was said and no tensor shows, as JSON."""

    def plain(value: object) -> object:
        if isinstance(value, Limits):
            return value.model_dump()
        if isinstance(value, tuple):
            return [plain(item) for item in value]
        return str(value) if isinstance(value, Path) else value

    return {key: plain(value) for key, value in vars(settings).items()}
