"""Which instruction held when: the episodes of a bag."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ...errors import DataError
from ...sentence import one_sentence, shipped_stop_sentences
from ..configuration import InstructionFile, InstructionMetadata, InstructionTopic, Rosbag2Source
from ..instants import nanoseconds, seconds
from .streams import Streams


@dataclass(frozen=True)
class Given:
    """A sentence from begin to end.

    Attributes:
        source: Name of its episode.
        sentence: The instruction; empty: none held.
        begin, end: Receive times, ns, the end excluded.
        repeats: Number of further messages that gave the same sentence.
        stop: The sentence that meant stop, where it is why none held.
    """

    source: str
    sentence: str
    begin: int
    end: int
    repeats: int = 0
    stop: str = ""


def given(path: Path, config: Rosbag2Source, streams: Streams, custom_data: Mapping[str, str]) -> list[Given]:
    """The sentences of a bag; of a bag that a conversion wrote, the episode that it was.

    A sentence that means stop ends the one before, as an empty one does.

    Raises:
        DataError: the file or key that should hold the sentence does not.
    """
    name = path.stem if path.is_file() else path.name
    first, last = streams.span
    # Just after the last message, and so that it still is when it is said in float seconds.
    end = int(nanoseconds(np.nextafter(seconds(np.array([last], dtype=np.int64)), np.inf))[0])
    if isinstance(config.instruction, InstructionTopic):
        found = _by_message(name, config.instruction, streams, end)
    else:
        found = [Given(f"{name}#0", _sentence(path, config.instruction, custom_data), first, end)]
    if len(found) != 1 or not {"source", "begin", "end"} <= custom_data.keys():
        return found
    begin, end = nanoseconds(np.array([float(custom_data["begin"]), float(custom_data["end"])])).tolist()
    (only,) = found
    return [Given(custom_data["source"], only.sentence, begin, end)]


def _by_message(name: str, where: InstructionTopic, streams: Streams, end: int) -> list[Given]:
    """What each message of a topic began; one that repeats the sentence of its task begins nothing.

    It does so within the timeout after its last message, or after the last command that moves the robot.
    """
    timeout = round(where.same_instruction_timeout * 1e9)
    moving = streams.commands.stamps[np.any(streams.commands.values != 0.0, axis=1)]
    found: list[Given] = []
    last = 0  # ns, receive time of the last message
    for time, sentence in streams.sentences:
        if found and sentence and found[-1].sentence == sentence and timeout:
            before = np.searchsorted(moving, time)
            moved = before > 0 and time - moving[before - 1] < timeout
            if moved or time - last < timeout:
                found[-1] = replace(found[-1], repeats=found[-1].repeats + 1)
                last = time
                continue
        if found:
            found[-1] = replace(found[-1], end=time)
        stop = sentence if where.stop_sentences == "end" and sentence in shipped_stop_sentences() else ""
        found.append(Given(f"{name}#{len(found)}", "" if stop else sentence, time, end, stop=stop))
        last = time
    return found


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
            sentence, place = file.read_text(encoding="utf-8"), str(file)
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{file}: not readable ({error})") from error
    return one_sentence(sentence, place)
