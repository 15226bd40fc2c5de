"""What policy_node and policy_server say to each other."""

import json
import math

import pytest

pytest.importorskip("std_msgs")

from hypothesis import given
from hypothesis import strategies as st
from std_msgs.msg import String

from mobile_vla_ros.remote.words import Answered, Asked, Offer, WordsError, decode, encode

numbers = st.floats(allow_nan=False)
text = st.text(max_size=20)
offers = st.builds(
    Offer,
    text,
    text,
    text,
    numbers,
    st.lists(text, max_size=3).map(tuple),
    st.dictionaries(text, text, max_size=3),
    st.dictionaries(text, numbers, max_size=3),
    st.dictionaries(text, st.tuples(numbers, numbers), max_size=2),
)
requests = st.builds(Asked, text, text, text, st.integers(), numbers, st.dictionaries(text, st.integers(), max_size=3))
answers = st.builds(
    Answered,
    text,
    text,
    st.integers(),
    numbers,
    text,
    text,
    st.booleans(),
    text,
    numbers,
    st.lists(st.tuples(numbers, numbers), max_size=3).map(tuple),
    st.lists(numbers, max_size=3).map(tuple),
    numbers,
    numbers,
)


@given(st.one_of(offers, requests, answers))
def test_what_is_said_is_heard(words: Offer | Asked | Answered) -> None:
    assert decode(type(words), encode(words)) == words


def test_what_is_not_finite_is_heard_as_such() -> None:
    """So that the controller refuses it, and says why."""
    said = Answered("c", "r", 1, 2.0, "s", velocity=((math.nan, math.inf),))
    ((v, w),) = decode(Answered, encode(said)).velocity
    assert math.isnan(v)
    assert w == math.inf


GOOD = json.loads(encode(Asked("c", "r", "go", 1, 2.0, {"camera": 2_000_000_000})).data)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "Asked: "),
        ("[]", r"Asked has \[\]: expected \['client'"),
        (json.dumps(GOOD | {"more": 1}), r"'more'.*: expected \['client'"),
        (json.dumps({"client": "c"}), r"Asked has \['client'\]"),
        (json.dumps(GOOD | {"instruction_id": True}), "Asked.instruction_id = True: expected int"),
        (json.dumps(GOOD | {"stamp": "2"}), "Asked.stamp = '2': expected float"),
        (json.dumps(GOOD | {"frames": {"camera": 2.0}}), "Asked.frames = .*: expected Stamps"),
        (json.dumps(GOOD | {"frames": [2]}), "Asked.frames = .*: expected Stamps"),
    ],
)
def test_what_is_wrong_is_named(text: str, said: str) -> None:
    with pytest.raises(WordsError, match=said):
        decode(Asked, String(data=text))
