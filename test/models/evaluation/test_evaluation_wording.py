"""Sentences are told apart by what they are about."""

import numpy as np
import pytest

from mobile_vla_models.evaluation.wording import about, paraphrased, shuffled, swapped
from mobile_vla_ros.sim.scene import NAMES
from mobile_vla_ros.sim.task import TaskKind, sentences


@pytest.mark.parametrize("unseen", [False, True])
def test_every_way_to_say_it_is_about_the_same(unseen: bool) -> None:
    meanings = set()
    for kind in TaskKind:
        for target in NAMES if kind is TaskKind.GO_TO else (None,):
            said = {about(sentence) for sentence in sentences(kind, target, unseen=unseen)}
            assert len(said) == 1, (kind, target, said)
            meanings |= said
    assert len(meanings) == len(NAMES) + 3


def test_sentences_are_swapped_for_ones_about_something_else() -> None:
    said = ["go to the red box", "drive to the red box", "turn left", "please turn left now", "halt"]
    other = swapped(said, np.random.default_rng(0))
    assert all(two is not None and about(one) != about(two) for one, two in zip(said, other, strict=True))
    assert swapped(["stop", "halt"], np.random.default_rng(0)) == [None, None]


def test_shuffled_words_are_the_same_words() -> None:
    for seed in range(20):
        mixed = shuffled("go to the red box", np.random.default_rng(seed))
        assert mixed is not None
        assert mixed != "go to the red box"
        assert sorted(mixed.split()) == sorted(["go", "to", "the", "red", "box"])
    assert shuffled("stop", np.random.default_rng(0)) is None


@pytest.mark.parametrize("sentence", ["go to the red box", "turn left", "Drive up to the blue ball", "stop"])
def test_paraphrases_mean_the_same(sentence: str) -> None:
    for seed in range(20):
        other = paraphrased(sentence, np.random.default_rng(seed))
        assert other is not None
        assert other != sentence
        assert about(other) == about(sentence)


def test_what_cannot_be_said_otherwise_is_not() -> None:
    assert paraphrased("빨간 상자로 가", np.random.default_rng(0)) is None
