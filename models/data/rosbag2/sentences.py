"""What was said when: the episodes of a bag."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import DataError
from ..configuration import InstructionFile, InstructionMetadata, Rosbag2Source
from ..instants import nanoseconds, seconds
from .streams import Streams


@dataclass(frozen=True)
class Given:
    """A sentence from begin to end (ns, the end excluded)."""

    source: str
    sentence: str
    begin: int
    end: int


def given(path: Path, config: Rosbag2Source, streams: Streams, custom_data: Mapping[str, str]) -> list[Given]:
    """The sentences of a bag; of a bag that a conversion wrote, the episode that it was.

    Raises:
        DataError: the file or key that should hold the sentence does not.
    """
    name = path.stem if path.is_file() else path.name
    first, last = streams.span
    # Just after the last message, and so that it still is when it is said in float seconds.
    end = int(nanoseconds(np.nextafter(seconds(np.array([last], dtype=np.int64)), np.inf))[0])
    if config.instruction.type == "topic":
        ends = [*(time for time, _ in streams.sentences[1:]), end]
        found = [
            Given(f"{name}#{number}", sentence, begin, until)
            for number, ((begin, sentence), until) in enumerate(zip(streams.sentences, ends, strict=True))
        ]
    else:
        found = [Given(f"{name}#0", _sentence(path, config.instruction, custom_data), first, end)]
    if len(found) != 1 or not {"source", "begin", "end"} <= custom_data.keys():
        return found
    begin, end = nanoseconds(np.array([float(custom_data["begin"]), float(custom_data["end"])])).tolist()
    return [Given(custom_data["source"], found[0].sentence, begin, end)]


def _sentence(path: Path, where: InstructionFile | InstructionMetadata, custom_data: Mapping[str, str]) -> str:
    """The one sentence of a bag."""
    if where.type == "metadata":
        if where.key not in custom_data:
            known = ", ".join(sorted(custom_data)) or "nothing"
            raise DataError(f"{path}: its custom_data has no {where.key!r} among {known}")
        sentence, place = custom_data[where.key], f"{path}: {where.key}"
    else:
        file = (path.parent if path.is_file() else path) / where.name
        try:
            sentence, place = file.read_text(encoding="utf-8").strip(), str(file)
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{file}: not readable ({error})") from error
    if not sentence.strip() or "\n" in sentence:
        raise DataError(f"{place} holds {sentence!r}, expected one sentence")
    return sentence
