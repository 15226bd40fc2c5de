"""Augmented windows stay true: one look for all pictures, and a mirror that turns round what a mirror does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mobile_vla_models import DataError
from mobile_vla_models.data.augmentation import (
    AugmentationConfig,
    Look,
    mirror_picture,
    mirror_sentence,
    mirror_values,
)

NAMES = ("linear_x", "linear_y", "linear_z", "angular_x", "angular_y", "angular_z")
NOTHING = dict.fromkeys(("brightness", "contrast", "saturation", "hue", "blur", "shift", "rotation", "crop"), 0.0)
PICTURE = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
WORDS = st.sampled_from(
    [
        "left",
        "Right",
        "LEFT",
        "leftmost",
        "clockwise",
        "counterclockwise",
        "brighten",
        "copyright",
        "left-hand",
        "right,",
        "box",
        "왼쪽으로",
        "오른편",
        "우측의",
        "좌",
        "우로",
        "우유",
        "좌우",
        "경우로",
        "우회전해",
    ]
)


def look(seed: int = 0, **changes: float) -> Look:
    return Look(AugmentationConfig.model_validate({**NOTHING, "mirror": False, **changes}), np.random.default_rng(seed))


@given(st.lists(WORDS, min_size=1).map(" ".join))
def test_sentences_come_back_from_the_mirror(sentence: str) -> None:
    assert mirror_sentence(mirror_sentence(sentence)) == sentence


@given(st.text())
def test_what_is_said_of_no_side_is_left_as_it_is(sentence: str) -> None:
    lowered = sentence.lower()
    if not any(word in lowered for word in ("left", "right", "clockwise", "왼", "오른", "좌", "우")):
        assert mirror_sentence(sentence) == sentence


@pytest.mark.parametrize(
    ("sentence", "mirrored"),
    [
        ("turn left", "turn right"),
        ("Left of the bright box, not right", "Right of the bright box, not left"),
        ("go to the leftmost cone on the right-hand side", "go to the rightmost cone on the left-hand side"),
        ("rotate clockwise", "rotate counterclockwise"),
        ("왼쪽으로 가서 우회전", "오른쪽으로 가서 좌회전"),
        ("좌 우", "우 좌"),
        ("좌우로 흔들지 말고 우유를 찾아", "좌우로 흔들지 말고 우유를 찾아"),
        ("the copyright of the cleft", "the copyright of the cleft"),
    ],
)
def test_left_and_right_are_exchanged_as_whole_words(sentence: str, mirrored: str) -> None:
    assert mirror_sentence(sentence) == mirrored


@pytest.mark.parametrize("sentence", ["rotate counter-clockwise", "turn Anticlockwise", "turn lEFT"])
def test_words_that_would_not_come_back_are_refused(sentence: str) -> None:
    with pytest.raises(DataError, match="would not come back"):
        mirror_sentence(sentence)


@given(
    arrays.arrays(np.float32, (3, 6), elements=st.floats(-9, 9, width=32)),
    arrays.arrays(np.uint8, (4, 5, 3)),
    st.permutations(NAMES),
)
def test_the_mirror_of_the_mirror_is_the_same(values: np.ndarray, picture: np.ndarray, names: list[str]) -> None:
    np.testing.assert_array_equal(mirror_values(mirror_values(values, names), names), values)
    np.testing.assert_array_equal(mirror_picture(mirror_picture(picture)), picture)


def test_lateral_and_turning_dimensions_turn_round_and_no_others() -> None:
    ones = np.ones((1, 6), np.float32)
    np.testing.assert_array_equal(mirror_values(ones, NAMES), [[1, -1, 1, -1, 1, -1]])
    np.testing.assert_array_equal(mirror_values(ones[:, :2], ("angular_z", "linear_x")), [[-1, 1]])
    np.testing.assert_array_equal(mirror_picture(PICTURE)[:, 0], PICTURE[:, -1])


def test_a_dimension_whose_mirror_nobody_knows_is_refused() -> None:
    with pytest.raises(DataError, match="roll"):
        mirror_values(np.ones((1, 2), np.float32), ("linear_x", "roll"))


@given(st.integers(0, 2**32 - 1))
def test_a_look_is_the_same_for_every_picture_and_every_time(seed: int) -> None:
    changes = {**dict.fromkeys(NOTHING, 0.1), "rotation": 5.0}
    one, again = look(seed, **changes), look(seed, **changes)
    np.testing.assert_array_equal(one.apply(PICTURE), again.apply(PICTURE))
    assert vars(one) == vars(again)


def test_no_change_is_none() -> None:
    np.testing.assert_array_equal(look().apply(PICTURE), PICTURE)


@pytest.mark.parametrize("name", NOTHING)
def test_each_change_changes_and_keeps_the_form(name: str) -> None:
    changed = look(3, **{name: 20.0 if name == "rotation" else 0.3}).apply(PICTURE)
    assert changed.shape == PICTURE.shape
    assert changed.dtype == np.uint8
    assert not np.array_equal(changed, PICTURE)


def test_brightness_scales_and_shift_shifts() -> None:
    grey = np.full((8, 8, 3), 100, np.uint8)
    bright = look(brightness=0.5)
    np.testing.assert_allclose(bright.apply(grey), 100 * bright.brightness, atol=0.5)
    moved = look(shift=0.25)
    spot = np.zeros((64, 64, 3), np.uint8)
    spot[32, 32] = 255
    weights = moved.apply(spot)[..., 0].astype(float)
    rows, columns = np.indices((64, 64))
    found = [(weights * axis).sum() / weights.sum() for axis in (columns, rows)]
    np.testing.assert_allclose(found, [32 + 64 * part for part in moved.shift], atol=0.1)
