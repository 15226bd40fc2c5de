"""Sides and colours that sentences name, in English and Korean."""

from __future__ import annotations

import re

_SIDES = {
    "left": re.compile(r"\b(left|leftwards?|counter-?clockwise)\b|왼|좌회전", re.IGNORECASE),
    "right": re.compile(r"\b(right|rightwards?|(?<!counter)(?<!counter-)clockwise)\b|오른|우회전", re.IGNORECASE),
}
_COLOURS = {
    "red": re.compile(r"\bred\b|빨간|빨강|붉은", re.IGNORECASE),
    "orange": re.compile(r"\borange\b|주황", re.IGNORECASE),
    "yellow": re.compile(r"\byellow\b|노란|노랑", re.IGNORECASE),
    "green": re.compile(r"\bgreen\b|초록|녹색", re.IGNORECASE),
    "cyan": re.compile(r"\b(cyan|turquoise)\b|청록", re.IGNORECASE),
    "blue": re.compile(r"\bblue\b|파란|파랑", re.IGNORECASE),
    "purple": re.compile(r"\b(purple|violet)\b|보라", re.IGNORECASE),
    "pink": re.compile(r"\b(pink|magenta)\b|분홍", re.IGNORECASE),
}


def side_in(sentence: str) -> str | None:
    """The side that the sentence names, "left" or "right", if it is one alone."""
    return _only(_SIDES, sentence)


def colour_in(sentence: str) -> str | None:
    """The colour that the sentence names, if it is one alone."""
    return _only(_COLOURS, sentence)


def _only(words: dict[str, re.Pattern[str]], sentence: str) -> str | None:
    found = [name for name, pattern in words.items() if pattern.search(sentence)]
    return found[0] if len(found) == 1 else None
