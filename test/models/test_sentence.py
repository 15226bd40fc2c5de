"""One spelling of sentences, and the list of those that mean stop."""

import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobile_vla_models import DataError
from mobile_vla_models.sentence import (
    MAX_INSTRUCTION,
    STOP_FILE,
    StopSentences,
    instruction_fault,
    normalize_instruction,
    one_sentence,
    read_stop_sentences,
    shipped_stop_sentences,
)
from mobile_vla_models.share import share_path

LANGUAGES = {
    "en": [
        "Stop!",
        "HALT",
        "freeze",
        "Wait.",
        "Don\u2019t move",
        "dont move!",
        "do not move",
        "stop the robot",
        "stay",
    ],
    "ko": ["멈춰!", "정지", "멈춰 주세요.", unicodedata.normalize("NFD", "멈춰")],
    "ja": ["止まれ\uff01", "止まって", "ストップ", "ｽﾄｯﾌﾟ"],
    "zh": ["停", "停下\uff01", "停止。", "別動"],
    "de": ["Anhalten!", "Halt", "STOPP!", "bleib stehen"],
    "fr": ["Arrête !", "arrêtez", "Arrête-toi", "ne bouge pas", "s\u2019il te plaît, arrête"],
    "es": ["¡Alto!", "para", "Detente", "¡No te muevas, por favor!"],
}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("go to the red box", "go to the red box"),
        ("  Go, left.\r\n", "Go, left."),
        ("go\tto\n\nthe\u00a0red\u3000box", "go to the red box"),
        ("\ufeffgo\u200b to\u2060 the red b\u00adox\u200e", "go to the red box"),
        (unicodedata.normalize("NFD", "빨간 상자로 가"), "빨간 상자로 가"),
        ("e\u200d\u0301", "é"),
        ("m² ﬁt", "m² ﬁt"),
        (" \u3164\u200b\n", ""),
        ("go\x00 on\x1c", "go\x00 on\x1c"),
    ],
)
def test_a_sentence_is_spelt_in_one_way(text: str, sentence: str) -> None:
    assert normalize_instruction(text) == sentence


@given(st.text())
def test_what_is_normalised_stays_as_it_is(text: str) -> None:
    sentence = normalize_instruction(text)
    assert normalize_instruction(sentence) == sentence
    assert not sentence.startswith(" ")
    assert not sentence.endswith(" ")
    assert "  " not in sentence


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1))
def test_words_of_ascii_are_left_alone(word: str) -> None:
    assert normalize_instruction(f"{word} {word}") == f"{word} {word}"


@pytest.mark.parametrize("text", ["go", "ㄱ", "走", "\u0627", "x1", "é", "आ", "x" * MAX_INSTRUCTION, ""])
def test_letters_of_any_script_make_an_instruction(text: str) -> None:
    assert instruction_fault(text) == ""


def test_a_file_holds_one_sentence() -> None:
    assert one_sentence("\ufeffgo  on\r\n\n", "a.txt") == "go on"
    for text in ("", " \n", "go\non", "go\u2028on"):
        with pytest.raises(DataError, match=r"a\.txt holds .*, expected one sentence"):
            one_sentence(text, "a.txt")


@pytest.mark.parametrize(("language", "sentences"), LANGUAGES.items())
def test_the_list_knows_how_people_say_stop(language: str, sentences: list[str]) -> None:
    missed = [sentence for sentence in sentences if sentence not in shipped_stop_sentences()]
    assert missed == [], language


def test_sentences_of_nothing_but_stop_mean_stop() -> None:
    stop = StopSentences(["stop", "don't move"])
    for text in (
        "stop stop stop",
        "Stop! Stop!",
        "Stop. Don't move!",
        "STOP",
        "\uff33\uff34\uff2f\uff30\uff01",
        "«stop»",
        "s\u200btop",
    ):
        assert text in stop, text
    for text in ("", "!", "stop at the box", "go. stop.", "don't stop", "stop move", "stopp", "non stop", "st op"):
        assert text not in stop, text
    assert "stop" not in StopSentences()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "expected a list of sentences for each language"),
        ("- stop", "expected a list of sentences for each language"),
        ("en: stop", "en holds 'stop', expected a list"),
        ("en: []", r"en holds \[\], expected a list"),
        ("English: [stop]", "unknown key 'English', expected a language code"),
        ("no: [stopp]", "unknown key False, expected a language code"),
        ("en: [stop, no]", "en holds False, expected text"),
        ("en: [stop, 1]", "en holds 1, expected text"),
        ("en: [stop, '...']", r"en holds '\.\.\.', expected a sentence with a letter"),
        ("en: [stop, '']", "en holds '', expected a sentence with a letter"),
        ("en: [don't move, 'DON`T  move!']", "en holds 'DON`T  move!' twice: it counts as the same as \"don't move\""),
        ("en: [stop]\nen: [halt]", "the key 'en' stands twice"),
        ("en: [stop", "not YAML"),
    ],
)
def test_a_list_that_cannot_be_meant_is_refused(tmp_path: Path, content: str, reason: str) -> None:
    path = tmp_path / "stop.yaml"
    path.write_text(content, "utf-8")
    with pytest.raises(DataError, match=reason) as error:
        read_stop_sentences(path)
    assert str(path) in str(error.value)


def test_a_list_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"stop\.yaml: not readable"):
        read_stop_sentences(tmp_path / "stop.yaml")


def test_every_entry_of_the_list_can_be_said() -> None:
    entries = [line[4:] for line in share_path(STOP_FILE).read_text("utf-8").splitlines() if line.startswith("  - ")]
    assert len(entries) > 500
    for entry in entries:
        assert entry in shipped_stop_sentences()
        assert instruction_fault(normalize_instruction(entry)) == ""


def test_it_needs_no_torch() -> None:
    code = "import sys, mobile_vla_models.sentence; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
