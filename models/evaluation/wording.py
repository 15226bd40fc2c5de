"""The same sentence said otherwise, and sentences that mean something else: by their words alone."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

# What is left without these is what a sentence is about.
_FORM = frozenset(
    {"a", "an", "the", "to", "up", "over", "on", "towards", "toward", "at", "by", "of", "in", "for", "it", "its"}
    | {"that", "there", "here", "where", "are", "then", "and", "is", "be", "please", "now", "can", "could", "will"}
    | {"would", "you", "your", "i", "want", "my", "goal", "so", "just", "straight", "go", "drive", "move", "head"}
    | {"approach", "travel", "navigate", "roll", "get", "come", "find", "look", "make", "way", "turn", "rotate"}
)
_STOP = frozenset({"stop", "halt", "still", "stand", "stay", "wait"})
_WORD = re.compile(r"\w+", re.UNICODE)
# Ways to say that one is to go somewhere, longest first.
_GOING = (
    "drive over to",
    "go over to",
    "go towards",
    "drive towards",
    "head towards",
    "go up to",
    "drive up to",
    "move up to",
    "go to",
    "drive to",
    "move to",
    "head to",
    "travel to",
    "navigate to",
    "roll to",
    "get to",
    "come to",
    "approach",
    "find",
)
_GOING_OTHERWISE = ("navigate to", "travel to", "make your way to", "go over to", "head towards")
_POLITE = ("could you {}", "{} now", "would you {} please")


def about(sentence: str) -> frozenset[str]:
    """The words that say what is meant, without those of form and of going; all ways to say "stop" are one.

    Who is to go somewhere and stop there is to go there.
    """
    words = [word for word in _WORD.findall(sentence.casefold()) if word not in _FORM]
    meant = frozenset(word for word in words if word not in _STOP)
    return meant or frozenset("stop" for word in words)


def swapped(sentences: Sequence[str], rng: np.random.Generator) -> list[str | None]:
    """For each sentence another of them that is about something else; None where there is none."""
    order = rng.permutation(len(sentences))
    meanings = [about(sentence) for sentence in sentences]
    chosen: list[str | None] = [None] * len(sentences)
    for position, index in enumerate(order.tolist()):
        others = np.roll(order, -position - 1).tolist()
        other = next((row for row in others if meanings[row] != meanings[index]), None)
        chosen[index] = None if other is None else sentences[other]
    return chosen


def shuffled(sentence: str, rng: np.random.Generator) -> str | None:
    """The same words in another order; None if there is no other."""
    words = sentence.split()
    if len(set(words)) < 2:
        return None
    while True:
        mixed = [words[row] for row in rng.permutation(len(words))]
        if mixed != words:
            return " ".join(mixed)


def paraphrased(sentence: str, rng: np.random.Generator) -> str | None:
    """An English sentence said otherwise; None for one whose script has no letter that we know to say it in."""
    if not re.search(r"[A-Za-z]", sentence):
        return None
    for phrase in _GOING:
        found = re.search(rf"\b{phrase}\b", sentence, re.IGNORECASE)
        if found:
            others = [way for way in _GOING_OTHERWISE if way != phrase]
            other = others[int(rng.integers(len(others)))]
            return sentence[: found.start()] + other + sentence[found.end() :]
    polite = _POLITE[int(rng.integers(len(_POLITE)))]
    return polite.format(sentence)
