"""Sentences for a robot: one spelling of them everywhere, what can be no instruction, and those that mean stop."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Hashable, Iterable
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

import yaml

from .errors import DataError
from .share import share_path

MAX_INSTRUCTION = 500  # characters
STOP_FILE = "config/words/stop.yaml"
_BLANKS = re.compile(r"[^\S\x1c-\x1f]+")  # the four separators of ASCII are control characters, not blanks
# What shows nothing by itself: soft hyphen, joiners and marks of direction, fillers, variation selectors, byte-order
# mark. What turns the direction of writing round (U+202A to U+202E, U+2066 to U+2069) is not among them.
_UNSEEN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2060-\u2064\u3164\ufe00-\ufe0f\ufeff\uffa0"
    "\U000e0100-\U000e01ef]"
)
_CONTROLS = ("Cc", "Cf", "Cs")  # Unicode's categories: control, format, half of a surrogate pair
_APOSTROPHES = re.compile("['`\u00b4\u02b9\u02bb\u02bc\u02bd\u2018\u2019\u201b\u2032]")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Z][a-z]{3})?")


def normalize_instruction(text: str) -> str:
    """Spell a sentence in the one way in which it is compared, shown, stored and tokenized everywhere.

    Characters that show nothing (zero-width, byte-order marks) go, every run of blanks and line ends becomes one space,
    those at the ends go, and the Unicode form is NFC. NFC joins what is the same character (a Korean syllable typed as
    three letters); NFKC would also change what is read (`m²` to `m2`), and cannot be undone. Tokenizers that want NFKC
    (Kosmos-2's, T5's) apply it themselves; others (CLIP's, Qwen's) know NFC, and Llama's none.
    """
    return _BLANKS.sub(" ", unicodedata.normalize("NFC", _UNSEEN.sub("", text))).strip(" ")


def one_sentence(text: str, place: str) -> str:
    """Read a text that must be one sentence, such as the content of a file.

    Args:
        text: The text.
        place: Where it stands, for the error.

    Returns:
        The sentence, normalised.

    Raises:
        DataError: It is empty, or has several lines.
    """
    lines = [line for line in map(normalize_instruction, text.splitlines()) if line]
    if len(lines) != 1:
        raise DataError(f"{place} holds {text!r}, expected one sentence")
    return lines[0]


def instruction_fault(sentence: str) -> str:
    """Say why a normalised sentence can be no instruction.

    Returns:
        The reason; empty if it can be one, or if it is empty and so asks for nothing.
    """
    if len(sentence) > MAX_INSTRUCTION:
        return f"instruction of {len(sentence)} characters refused: expected at most {MAX_INSTRUCTION}"
    control = next((character for character in sentence if unicodedata.category(character) in _CONTROLS), None)
    if control is not None:
        return f"instruction {sentence!r} refused: it has the control character U+{ord(control):04X}"
    if sentence and not any(character.isalpha() for character in sentence):
        return f"instruction {sentence!r} refused: it has no letter"
    return ""


class StopSentences:
    """The sentences that mean stop.

    A sentence means stop if it is one of them as a whole, or if punctuation parts it into nothing but such ("Stop!
    Don't move!"). Case, punctuation, apostrophes, full-width letters and a word said twice make no difference.

    Args:
        sentences: The list; none is allowed, and then nothing means stop.
    """

    def __init__(self, sentences: Iterable[str] = ()) -> None:
        self._keys = frozenset(map(_key, sentences))

    def __contains__(self, sentence: str) -> bool:
        """Whether a sentence means stop."""
        parts = _parts(sentence)
        return bool(parts) and (" ".join(parts) in self._keys or self._keys.issuperset(parts))


def read_stop_sentences(path: Path) -> StopSentences:
    """Read the list of sentences that mean stop: a YAML file with a list for each language code.

    Raises:
        DataError: Unreadable, not YAML, a key that is no language code or stands twice, a list that is empty, an entry
            that is no text, has no letter or stands twice in its list. The message names file, key and entry.
    """
    try:
        languages = _Unique(path.read_text(encoding="utf-8")).get_single_data()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not readable ({error})") from error
    except yaml.YAMLError as error:
        raise DataError(f"{path}: not YAML ({error})") from error
    if not isinstance(languages, dict) or not languages:
        raise DataError(f"{path}: holds {languages!r:.50}, expected a list of sentences for each language")
    found: list[str] = []
    for language, sentences in languages.items():
        if not isinstance(language, str) or not _LANGUAGE.fullmatch(language):
            raise DataError(f"{path}: unknown key {language!r}, expected a language code such as en or zh-Hant")
        if not isinstance(sentences, list) or not sentences:
            raise DataError(f"{path}: {language} holds {sentences!r:.50}, expected a list of sentences")
        first: dict[str, str] = {}
        for sentence in sentences:
            if not isinstance(sentence, str):
                raise DataError(f"{path}: {language} holds {sentence!r}, expected text (in quotes)")
            normalized = normalize_instruction(sentence)
            if not normalized or instruction_fault(normalized):
                raise DataError(f"{path}: {language} holds {sentence!r}, expected a sentence with a letter")
            other = first.setdefault(_key(sentence), sentence)
            if other is not sentence:
                raise DataError(f"{path}: {language} holds {sentence!r} twice: it counts as the same as {other!r}")
        found += first.values()
    return StopSentences(found)


@cache
def shipped_stop_sentences() -> StopSentences:
    """Read the list that comes with this package, once; errors are those of `read_stop_sentences`."""
    return read_stop_sentences(share_path(STOP_FILE))


class _Unique(yaml.SafeLoader):
    """Refuses a key that stands twice: PyYAML would drop the first one's list without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = next((key for number, key in enumerate(keys) if key in keys[:number]), None)
        if twice is not None:
            raise yaml.constructor.ConstructorError(None, None, f"the key {twice!r} stands twice", node.start_mark)
        return super().construct_mapping(node, deep)


def _key(sentence: str) -> str:
    """What of a sentence is compared: its words in lower case, with one space between them."""
    return " ".join(_parts(sentence))


def _parts(sentence: str) -> list[str]:
    """The words of a sentence in lower case, parted by its punctuation; of a word said twice in a row one."""
    plain = _APOSTROPHES.sub("", unicodedata.normalize("NFKC", normalize_instruction(sentence)).casefold())
    # By category: `\w` knows no vowel signs, without which a word of Hindi or Thai falls to pieces.
    kept = "".join(one if one == " " or unicodedata.category(one)[0] in "LMN" else "\n" for one in plain)
    parts = (" ".join(word for word, _ in groupby(part.split())) for part in kept.split("\n"))
    return [part for part in parts if part]
