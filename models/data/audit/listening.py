"""What of recordings no instruction held for, and how often instructions were given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...documents import first_of
from ..recording import Recording
from .flags import Flag, Severity
from .statistics import share

OUTSIDE = 0.2  # of a recording's images: more in no episode is hardly meant
SHOWN = 3  # examples in a message


@dataclass(frozen=True)
class Listening:
    """Of all recordings that may hold more than their episodes.

    Attributes:
        images: Number of images, of all cameras.
        outside: Number of those that lie in no episode.
        outside_shares: Share of the images that lie in no episode, by recording.
        stop_sentences: Number of messages by sentence that meant stop.
        repeats: Number of messages that gave an instruction again, by episode; those alone that have some.
    """

    images: int
    outside: int
    outside_shares: dict[str, float]
    stop_sentences: dict[str, int]
    repeats: dict[str, int]


def summarize_listening(recordings: Sequence[Recording], repeats: Mapping[str, int]) -> Listening:
    """Count; `repeats` is by source of the episodes."""
    return Listening(
        images=sum(recording.images for recording in recordings),
        outside=sum(recording.outside for recording in recordings),
        outside_shares={recording.name: share(recording.outside, recording.images) for recording in recordings},
        stop_sentences=dict(Counter(sentence for one in recordings for sentence in one.stop_sentences).most_common()),
        repeats={source: count for source, count in repeats.items() if count},
    )


def listening_flags(listening: Listening) -> list[Flag]:
    """Complaints about when instructions were given."""
    flags = []
    late = {name: lost for name, lost in listening.outside_shares.items() if lost > OUTSIDE}
    if late:
        named = first_of([f"{name} ({lost:.0%})" for name, lost in late.items()], SHOWN, ", ")
        flags.append(
            Flag(
                "instructions",
                Severity.WARNING,
                (),
                f"more than {OUTSIDE:.0%} of the images of {len(late)} recordings lie in no episode: {named}",
                "No instruction held, so they are left out. Publish it before the robot drives.",
            )
        )
    if listening.repeats:
        flags.append(
            Flag(
                "instructions",
                Severity.NOTE,
                tuple(listening.repeats),
                f"{len(listening.repeats)} episodes were given their instruction again, "
                f"{sum(listening.repeats.values())} times in all: each is one episode",
                "Publish an instruction once; where each message was a task, set same_instruction_timeout: 0.",
            )
        )
    if listening.stop_sentences:
        named = first_of([f"{text!r} ({count})" for text, count in listening.stop_sentences.items()], SHOWN, ", ")
        flags.append(
            Flag(
                "instructions",
                Severity.NOTE,
                (),
                f"{sum(listening.stop_sentences.values())} messages meant stop: {named}",
                "Nothing: each ended its episode, as an empty instruction does.",
            )
        )
    return flags
