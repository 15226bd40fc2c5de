"""What a model card says of where weights come from."""

from typing import Any

import pytest
from tiny import tiny_policy

from mobile_vla_models.training.model_card import model_card

GROUNDING = {"clip": {"any_object": 0.58}, "kosmos2": {"accuracy": 0.25}}


def card(grounding: dict[str, dict[str, float]] | None, before: dict[str, Any] | None) -> str:
    training = {"parameters": 12, "data": {"held_out": ["a#0"]}, "grounding": grounding, "started_from": before}
    return model_card(tiny_policy().config, training, ["mobile-vla train"])


@pytest.mark.parametrize(
    ("grounding", "before"),
    [(GROUNDING, None), (None, {"training": {"grounding": GROUNDING, "started_from": None}})],
    ids=["in this training", "in the one before"],
)
def test_a_policy_that_was_grounded_is_told_how_well(
    grounding: dict[str, dict[str, float]] | None, before: dict[str, Any] | None
) -> None:
    text = card(grounding, before)
    assert "from scratch" in text
    assert "does not yet point at the named thing** (0.25, where pointing at any object gives 0.58)" in text
    assert "a#0" not in text


def test_nothing_is_claimed_of_one_that_was_not() -> None:
    text = card(None, {"training": {"parameters": 12}})
    assert "scratch" not in text
    assert "points" not in text
