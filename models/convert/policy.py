"""A policy directory in another precision."""

from __future__ import annotations

from pathlib import Path

from ..checkpoint.reader import read_checkpoint, state_dict
from ..errors import ConversionError, PolicyDirectoryError
from ..policy_directory import read_config, read_training
from ..policy_entries import CLIP_TOKENIZER, CONFIG, TOKENIZER, WEIGHTS, check_entries
from ..text import read_tokenizer
from .conversion import Source


def policy_source(directory: Path) -> Source:
    """A policy as its weights lie in its directory.

    Raises:
        PolicyDirectoryError: something is missing or damaged.
        ConversionError: it is quantised, which cannot be taken back; or it has no head.
    """
    check_entries(directory)
    config = read_config(directory / CONFIG)
    quantised = [part for part, precision in config.precision.parts.items() if precision.quantised]
    if quantised:
        raise ConversionError(
            f"{directory}: {', '.join(quantised)} are quantised; convert what they were made of, see receipt.json"
        )
    if config.head.type == "discrete":
        raise ConversionError(f"{directory} speaks its actions: only errors of a head's can be measured")
    entries, _ = state_dict(read_checkpoint(directory / WEIGHTS))
    return Source(
        name=directory.resolve().name,
        config=config,
        entries=entries,
        tokenizer=read_tokenizer(directory / TOKENIZER, PolicyDirectoryError, hub=False),
        clip_tokenizer=read_tokenizer(directory / CLIP_TOKENIZER, PolicyDirectoryError, hub=False)
        if config.clip_reads
        else None,
        training=read_training(directory),
    )
