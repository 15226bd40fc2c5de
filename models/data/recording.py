"""What a recording holds beside its episodes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recording:
    """One recording, in numbers.

    Attributes:
        name: Name of the recording, as before the "#" in the sources of its episodes.
        images: Number of its images, of all cameras.
        outside: Number of those that lie in no episode: no instruction held, or one that was superseded at once.
        stop_sentences: Sentences that mean stop, in the order of their messages; each ended an episode.
    """

    name: str
    images: int
    outside: int
    stop_sentences: tuple[str, ...]
