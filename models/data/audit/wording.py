"""The sentences of a set: how many, how often, whether they are sentences at all, and whether the motion fits them."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from ...documents import first_of
from ...sentence import instruction_fault, shipped_stop_sentences
from .flags import Flag, Severity
from .motion import ONE_SIDED, ONE_SIDED_CHANCE, Motion
from .statistics import chance, share
from .words import side_in

DOMINATES = 0.6  # of the episodes
SET_OF = 10  # episodes: from here on one sentence for all is no accident
SIDED, AGREE, CONTRARY = 8, 0.7, 0.3  # least episodes that name a side; share that turn there
TURNED = 0.2  # rad net: less is no turn
SHOWN = 3  # examples in a message

# What people find where a sentence should stand.
_NO_SENTENCE = {
    "a file's or scenario's name": re.compile(r"^\S*[_/\\]\S*$|\.(h5|hdf5|bag|db3|mcap|npz|json)$", re.IGNORECASE),
    "a number": re.compile(r"^[-+\d.,\s]+$"),
    "bytes that were never decoded": re.compile(r"^b(['\"]).*\1$"),
    "a serialised structure": re.compile(r"^\s*[\[{].*[\]}]\s*$"),
    "a placeholder": re.compile(
        r"^<?(none|null|nan|n/?a|unknown|default|todo|test|task|string|instruction|dummy|placeholder)>?$", re.IGNORECASE
    ),
    "bytes of another encoding": re.compile("\ufffd"),
}


@dataclass(frozen=True)
class Wording:
    """Of all sentences.

    Attributes:
        counts: episodes by sentence, most frequent first; the empty ones under "".
        left, right: episodes whose sentence names this side alone.
        turn_as_told: of those that turn, how many turn to the side named.
        sided_turns: of those that name a side, how many turn.
    """

    counts: dict[str, int]
    left: int
    right: int
    turn_as_told: int
    sided_turns: int


def summarize_wording(sentences: Mapping[str, str], motions: Mapping[str, Motion]) -> Wording:
    """Count; both arguments are by source."""
    counts = Counter(sentences.values())
    sides = {source: side_in(sentence) for source, sentence in sentences.items()}
    turns = {source: motions[source].turned_rad for source, side in sides.items() if side is not None}
    turns = {source: turn for source, turn in turns.items() if abs(turn) > TURNED}
    return Wording(
        counts=dict(counts.most_common()),
        left=sum(side == "left" for side in sides.values()),
        right=sum(side == "right" for side in sides.values()),
        turn_as_told=sum((turn > 0) == (sides[source] == "left") for source, turn in turns.items()),
        sided_turns=len(turns),
    )


def wording_flags(sentences: Mapping[str, str], wording: Wording) -> list[Flag]:
    """Complaints about the sentences; `sentences` by source."""
    flags: list[Flag] = []

    def complain(severity: Severity, episodes: list[str], found: str, remedy: str) -> None:
        flags.append(Flag("instructions", severity, tuple(episodes), found, remedy))

    empty = [source for source, sentence in sentences.items() if not sentence]
    if empty:
        complain(
            Severity.ERROR,
            empty,
            f"{len(empty)} episodes have no sentence",
            "Look where the recording keeps it (another topic, an attribute, the file's name), or leave them out.",
        )
    explained: set[str] = set()
    for what, pattern in _NO_SENTENCE.items():
        odd = {source: text for source, text in sentences.items() if text and pattern.search(text)}
        explained |= odd.keys()
        if odd:
            examples = first_of(sorted({repr(text) for text in odd.values()}), SHOWN, ", ")
            complain(
                Severity.WARNING,
                list(odd),
                f"{len(odd)} sentences look like {what}: {examples}",
                "Look where the recording keeps the real sentence.",
            )
    refused = {
        source: text for source, text in sentences.items() if instruction_fault(text) and source not in explained
    }
    if refused:
        complain(
            Severity.WARNING,
            list(refused),
            f"policy_node refuses {len(refused)} of the sentences: {instruction_fault(next(iter(refused.values())))}",
            "Look where the recording keeps the real sentence, or leave them out: no robot can be told so.",
        )
    stop = {source: text for source, text in sentences.items() if text in shipped_stop_sentences()}
    if stop:
        complain(
            Severity.NOTE,
            list(stop),
            f"{len(stop)} sentences mean stop: {first_of(sorted({repr(text) for text in stop.values()}), SHOWN, ', ')}",
            "policy_node stops at them by itself: no policy ever gets them.",
        )
    flags += _variants(sentences)
    count, named = len(sentences), {text: number for text, number in wording.counts.items() if text}
    top = next(iter(named), "")
    if count >= SET_OF and len(named) == 1:
        complain(
            Severity.WARNING,
            [],
            f"all {named[top]} episodes say {top!r}",
            "A policy cannot learn from these to listen: record other tasks in the same scenes.",
        )
    elif count >= SET_OF and named and named[top] > DOMINATES * count:
        complain(
            Severity.WARNING,
            [],
            f"{share(named[top], count):.0%} of the episodes say {top!r}",
            "Record other tasks in the same scenes, or weigh the episodes.",
        )
    return flags + _sides(wording)


def _variants(sentences: Mapping[str, str]) -> list[Flag]:
    """Sentences that differ in case, space and full stops only, and sets in several scripts."""
    spellings: defaultdict[str, set[str]] = defaultdict(set)
    for text in sentences.values():
        spellings[" ".join(text.casefold().split()).rstrip(".! ")].add(text)
    several = [sorted(group) for group in spellings.values() if len(group) > 1]
    flags = []
    if several:
        examples = first_of([" and ".join(map(repr, group)) for group in several], SHOWN)
        flags.append(
            Flag(
                "instructions",
                Severity.NOTE,
                (),
                f"{len(several)} sentences are spelt in several ways: {examples}",
                "Spell them one way, unless people will say them so.",
            )
        )
    latin = sum(bool(re.search(r"[A-Za-z]", text)) for text in sentences.values())
    other = sum(any(letter.isalpha() and ord(letter) > 0x2FF for letter in text) for text in sentences.values())
    if latin and other:
        flags.append(
            Flag(
                "instructions",
                Severity.NOTE,
                (),
                f"{latin} sentences are in Latin letters, {other} in others",
                "Speak to the robot in the language that its tasks were recorded in.",
            )
        )
    return flags


def _sides(wording: Wording) -> list[Flag]:
    flags = []
    total, more = wording.left + wording.right, max(wording.left, wording.right)
    if more > ONE_SIDED * total and chance(more, total) < ONE_SIDED_CHANCE:
        flags.append(
            Flag(
                "left and right",
                Severity.WARNING,
                (),
                f"{wording.left} sentences say left, {wording.right} say right",
                "Record as many of the other, or mirror (with the words swapped).",
            )
        )
    agree = share(wording.turn_as_told, wording.sided_turns)
    if wording.sided_turns >= SIDED and agree < AGREE:
        contrary = agree < CONTRARY
        flags.append(
            Flag(
                "left and right",
                Severity.ERROR if contrary else Severity.WARNING,
                (),
                f"of {wording.sided_turns} episodes whose sentence names a side and that turn, "
                f"{wording.turn_as_told} turn to it",
                "The sign of angular_z is wrong (REP-103: left is positive), or the words are swapped."
                if contrary
                else "Look whether the sentences mean a turn, and whether they were given to the right episodes.",
            )
        )
    return flags
