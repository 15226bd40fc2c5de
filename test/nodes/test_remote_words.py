"""What policy_node and policy_server say to each other."""

import contextlib
import json
import math
from dataclasses import fields, replace
from typing import Any

import pytest

pytest.importorskip("std_msgs")

from hypothesis import given
from hypothesis import strategies as st
from std_msgs.msg import String

from mobile_vla_ros.control import Limits
from mobile_vla_ros.remote.words import Answered, Asked, Offer, WordsError, decode, encode

numbers = st.floats(allow_nan=False, allow_infinity=False)
integers = st.integers(-(2**63), 2**63 - 1)
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
LIMITS = dict(zip((field.name for field in fields(Limits)), (0.0, 0.5, 1.0, 1.0, 3.0, 10.0, 30.0), strict=True))
RANGES = {"linear_x": (-0.6, 0.6), "angular_z": (-1.2, 1.2)}
offers = st.builds(
    Offer,
    text,
    text,
    text,
    st.floats(0.01, 5.0),
    st.just(("front", "hand")),
    st.fixed_dictionaries({"front": text, "hand": text}),
    st.just(LIMITS),
    st.just(RANGES),
)
requests = st.builds(Asked, text, text, text, integers, numbers, st.dictionaries(text, integers, max_size=3))
answers = st.builds(
    Answered,
    text,
    text,
    integers,
    numbers,
    text,
    text,
    st.booleans(),
    text,
    numbers,
    st.lists(st.tuples(numbers, numbers), max_size=3).map(tuple),
    st.lists(numbers, max_size=3).map(tuple),
    st.floats(0.0, 10.0),
    st.floats(0.0, 10.0),
)


@given(st.one_of(offers, requests, answers))
def test_what_is_said_is_heard(words: Offer | Asked | Answered) -> None:
    assert decode(type(words), encode(words)) == words


def test_what_is_not_finite_is_not_said() -> None:
    """The server holds the policy's answers against its range, and says why it has none."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode(Answered("c", "r", 1, 2.0, "s", velocity=((math.nan, math.inf),)))


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
        (
            json.dumps(GOOD | {"frames": dict.fromkeys("abcdefghijklmnopq", 1)}),
            "frames of 17 cameras: expected at most",
        ),
        (json.dumps(GOOD | {"instruction": "x" * 1001}), "Asked.instruction = .*: expected str"),
        (json.dumps(GOOD | {"instruction": "\ud800"}), "Asked.instruction = .*: expected str"),
        (json.dumps(GOOD | {"stamp": math.nan}), "NaN is no JSON"),
        (json.dumps(GOOD | {"stamp": -math.inf}), "-Infinity is no JSON"),
        (json.dumps(GOOD).replace("2.0", "1e999"), "1e999 is beyond"),
        (json.dumps(GOOD).replace("2.0", "1" + "0" * 400), "a number of 401 digits: expected at most 20"),
        (json.dumps(GOOD).replace("2.0", "1" * 100_000), "a number of 100000 digits: expected at most 20"),
        (json.dumps(GOOD)[:-1] + ', "run": "other"}', "a key comes twice"),
        ("[" * 2048, "Asked is nested too deeply"),
        ('{"a":' * 2048, "Asked is nested too deeply"),
        ("[" * 400 + "]" * 400, "Asked"),
        (" " * 300_000, "Asked of 300000 characters: expected at most 262144"),
        ("", "Asked: "),
    ],
)
def test_what_is_wrong_is_named(text: str, said: str) -> None:
    with pytest.raises(WordsError, match=said):
        decode(Asked, String(data=text))


OFFER = Offer("s", "i", "d", 0.2, ("front",), {"front": "/camera/image_raw"}, LIMITS, RANGES)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"dt": 0.0}, "dt = 0.0: expected above 0, at most 5 s"),
        ({"dt": 1e5}, "dt = 100000.0: expected"),
        ({"cameras": ()}, "expected 1 to 16 different names"),
        ({"cameras": ("front", "front")}, "expected 1 to 16 different names"),
        ({"cameras": tuple(f"c{n}" for n in range(17))}, "expected 1 to 16 different names"),
        ({"cameras": ("a b",)}, "expected letters, digits and _"),
        ({"topics": {}}, "expected those of the cameras"),
        ({"limits": {"linear_x_max": 1.0}}, "limits = .*: expected"),
        ({"limits": LIMITS | {"linear_jerk": -1.0}}, "limit linear_jerk = -1.0: expected a finite number, above 0"),
        ({"limits": LIMITS | {"linear_x_max": 1e9}}, r"limit linear_x_max = 1000000000\.0: expected at most 1e\+06"),
        ({"ranges": {"linear_x": (0.0, 1.0)}}, r"ranges = \['linear_x'\]: expected"),
        ({"ranges": RANGES | {"linear_x": (1.0, -1.0)}}, "ranges linear_x = 1.0 to -1.0: expected rising"),
        ({"ranges": RANGES | {"linear_x": (-1e9, 1e9)}}, "within 1000 both ways"),
    ],
)
def test_an_offer_that_no_policy_makes_is_refused(changes: dict[str, Any], said: str) -> None:
    assert decode(Offer, encode(OFFER)) == OFFER
    with pytest.raises(WordsError, match=said):
        decode(Offer, encode(replace(OFFER, **changes)))


def test_an_answer_of_too_many_rows_is_refused() -> None:
    long = Answered("c", "r", 1, 2.0, "s", dt=0.2, velocity=((0.1, 0.2),) * 1001, stop=(0.0,) * 1001)
    with pytest.raises(WordsError, match="1001 rows, stop 1001: expected at most 1000"):
        decode(Answered, encode(long))


def test_a_plan_of_the_longest_kind_fits_into_a_message() -> None:
    row = (-0.12345678806304932, -0.98765432834625244)
    plan = Answered("c", "r", 1, 2.0, "s", dt=0.01, velocity=(row,) * 1000, stop=(row[0],) * 1000)
    assert decode(Answered, encode(plan)) == plan


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(["\ud800", "a" * 2000]),
)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
)


@given(st.data(), st.one_of(offers, requests, answers))
def test_whatever_a_message_holds_only_words_errors_leave(data: st.DataObject, words: Offer | Asked | Answered) -> None:
    kind = data.draw(st.sampled_from([Offer, Asked, Answered]))
    said = json.loads(encode(words).data)
    for name in data.draw(st.lists(st.sampled_from(sorted(said)), max_size=3)):
        said[name] = data.draw(anything)
    text = json.dumps(said)
    if data.draw(st.booleans()):  # a part that is lost, replaced or repeated
        begin, end = sorted(data.draw(st.tuples(*[st.integers(0, len(text))] * 2)))
        text = text[:begin] + data.draw(st.one_of(st.text(max_size=8), st.sampled_from(['"', "[" * 3000, "9" * 500])))
        text += json.dumps(said)[end:]
    with contextlib.suppress(WordsError):
        found = decode(kind, String(data=text.encode("utf-8", "replace").decode()))
        assert isinstance(found, kind)
        encode(found).data.encode()


@given(st.text(max_size=200), st.sampled_from([Offer, Asked, Answered]))
def test_text_that_is_no_message_is_a_words_error(text: str, kind: type[Offer] | type[Asked] | type[Answered]) -> None:
    with pytest.raises(WordsError):
        decode(kind, String(data=text.encode("utf-8", "replace").decode()))
