"""Faults planted in a clean set are flagged, each by its check, and the clean set is not."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from made_episodes import exchanged, make_episode, make_set, with_actions, with_frames

from mobile_vla_models import DataError
from mobile_vla_models.data.audit import Audit, Flag, Severity, audit
from mobile_vla_models.data.audit.colours import Order
from mobile_vla_models.data.audit.figures import overall_rows
from mobile_vla_models.data.audit.words import colour_in, side_in
from mobile_vla_models.data.episode import Episode
from mobile_vla_models.data.recording import Recording

COUNT = 24


@pytest.fixture(scope="module")
def clean() -> list[Episode]:
    """Without odometry, for the faults that are not about it."""
    return make_set(COUNT, measured=False)


@pytest.fixture(scope="module")
def measured() -> list[Episode]:
    return make_set(COUNT)


def changed(episodes: list[Episode], change: Callable[[Episode], Episode]) -> Audit:
    return audit([change(episode) for episode in episodes])


def of(report: Audit, check: str) -> list[Flag]:
    return [flag for flag in report.flags if flag.check == check]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_clean_set_is_not_flagged(seed: int) -> None:
    report = audit(make_set(COUNT, seed))
    assert report.flags == ()
    assert report.overall.colours["front"].order is Order.RGB
    assert report.overall.motion.ends_standing == COUNT
    assert report.overall.camera_hz["front"] == pytest.approx(10.0, rel=1e-3)
    assert report.overall.command_hz == pytest.approx(20.0, rel=1e-3)


def test_red_and_blue_exchanged_are_flagged(clean: list[Episode]) -> None:
    report = changed(clean, exchanged)
    (flag,) = report.flags
    assert (flag.check, flag.severity) == ("colour order", Severity.ERROR)
    assert "BGR" in flag.found
    order = report.overall.colours["front"]
    assert order.order is Order.BGR
    assert order.confidence is not None
    assert order.confidence > 0.999


def test_a_blue_background_does_not_look_like_exchanged_colours(clean: list[Episode]) -> None:
    def carpet(frame: np.ndarray) -> np.ndarray:
        changed = frame.copy()
        changed[40:] = (30, 60, 200)
        return changed

    report = changed(clean, lambda episode: with_frames(episode, carpet))
    assert report.overall.colours["front"].order is Order.RGB


def test_a_set_of_both_orders_is_flagged(clean: list[Episode]) -> None:
    mixed = [
        exchanged(episode) if number % 3 == 0 or number % 7 == 0 else episode for number, episode in enumerate(clean)
    ]
    mixed += [
        dataclasses.replace(exchanged(e) if n % 2 else e, source=f"more{n}#0")
        for n, e in enumerate(make_set(12, 5, measured=False))
    ]
    (flag,) = of(audit(mixed), "colour order")
    assert flag.severity is Severity.WARNING
    assert "mixes RGB and BGR" in flag.found
    wrong = {episode.source for n, episode in enumerate(clean) if n % 3 == 0 or n % 7 == 0}
    wrong |= {f"more{n}#0" for n in range(1, 12, 2)}
    assert flag.episodes
    assert set(flag.episodes) <= wrong


def test_one_scene_in_both_orders_is_flagged_without_named_colours(clean: list[Episode]) -> None:
    plain = [dataclasses.replace(episode, instruction=f"go on {number % 5}") for number, episode in enumerate(clean)]
    again = [dataclasses.replace(exchanged(episode), source=f"again_{episode.source}") for episode in plain[:4]]
    (flag,) = of(audit([*plain, *again]), "colour order")
    assert flag.severity is Severity.ERROR
    assert "one scene with red and blue exchanged" in flag.found
    assert set(flag.episodes) >= {episode.source for episode in again}


def test_a_whole_set_exchanged_is_only_suspected_without_named_colours(clean: list[Episode]) -> None:
    plain = [dataclasses.replace(episode, instruction=f"go on {number % 5}") for number, episode in enumerate(clean)]
    assert of(audit(plain), "colour order") == []
    (flag,) = of(changed(plain, exchanged), "colour order")
    assert flag.severity is Severity.WARNING
    assert "suspected" in flag.found


def scaled(*factors: float) -> Callable[[Episode], Episode]:
    return lambda episode: with_actions(episode, episode.actions.values * np.array(factors, np.float32))


def test_degrees_for_radians_are_flagged(measured: list[Episode]) -> None:
    (flag,) = of(changed(measured, scaled(1.0, 57.29578)), "units")
    assert flag.severity is Severity.ERROR
    assert "the commands are in degrees per second" in flag.found
    assert "angular_z" in flag.found


def test_centimetres_for_metres_are_flagged(measured: list[Episode]) -> None:
    (flag,) = of(changed(measured, scaled(100.0, 1.0)), "units")
    assert "linear_x" in flag.found
    assert "centimetres" in flag.found


def test_degrees_are_flagged_without_odometry(clean: list[Episode]) -> None:
    report = changed(clean, scaled(1.0, 57.29578))
    (flag,) = of(report, "units")
    assert "more than any base does" in flag.found
    assert report.overall.delays == {}


def test_degrees_in_the_odometry_are_flagged(measured: list[Episode]) -> None:
    def turning(episode: Episode) -> Episode:
        assert episode.odometry is not None
        values = episode.odometry.values * np.array([1.0, 1.0, 57.29578], np.float32)
        return dataclasses.replace(episode, odometry=dataclasses.replace(episode.odometry, values=values))

    found = [flag.found for flag in of(changed(measured, turning), "units")]
    assert any("the odometry is in degrees per second" in text for text in found)


def script(episode: Episode, number: int) -> Episode:
    """The same keys as all others of its kind, pressed not quite in time and sampled at a rate of its own."""
    rng = np.random.default_rng(number)
    stamps = episode.begin + np.arange(0.0, 6.0, 0.02 + 0.005 * (number % 3))
    presses = episode.begin + np.array([0.0, 1.2, 2.4, 3.6, 4.8]) + rng.normal(0.0, 0.01, 5)
    keys = np.array([(0.4, 0.0), (0.0, 0.6), (0.4, 0.0), (0.0, -0.3), (0.0, 0.0)]) * (1.0, (1.0, -1.0)[number % 2])
    values = keys[np.maximum(np.searchsorted(presses, stamps, side="right") - 1, 0)]
    actions = dataclasses.replace(episode.actions, stamps=stamps, values=values.astype(np.float32), received=None)
    return dataclasses.replace(episode, actions=actions, end=episode.begin + 6.0)


def test_a_script_driven_again_and_again_is_flagged(clean: list[Episode]) -> None:
    episodes = [script(episode, number) if number >= 12 else episode for number, episode in enumerate(clean)]
    (flag,) = of(audit(episodes), "duplicates")
    assert flag.severity is Severity.WARNING
    assert flag.found.startswith("10 of 24 episodes repeat the commands of another: 2 scripts")
    assert set(flag.episodes) == {episode.source for episode in episodes[12:]}


def test_a_copied_episode_is_flagged(clean: list[Episode]) -> None:
    rng = np.random.default_rng(0)

    def noise(frame: np.ndarray) -> np.ndarray:
        return np.clip(frame + rng.normal(0.0, 2.0, frame.shape), 0, 255).astype(np.uint8)

    copy = dataclasses.replace(with_frames(clean[4], noise), source="copy#0")
    flags = of(audit([*clean, copy]), "duplicates")
    assert {flag.severity for flag in flags} == {Severity.WARNING, Severity.NOTE}
    assert all(set(flag.episodes) == {"copy#0", clean[4].source} for flag in flags)


def test_a_set_that_turns_to_one_side_is_flagged(clean: list[Episode]) -> None:
    left = [episode for episode in make_set(72, 3, measured=False) if "right" not in episode.instruction]
    report = changed(left, lambda e: with_actions(e, e.actions.values * [1, 0] + np.abs(e.actions.values) * [0, 1]))
    found = [flag.found for flag in of(report, "left and right")]
    assert any(text.startswith("100% of the turning time is to the left") for text in found)
    assert any("12 sentences say left, 0 say right" in text for text in found)


def test_sides_that_are_contrary_to_the_words_are_flagged(clean: list[Episode]) -> None:
    words = {"turn left": "turn right", "turn right": "turn left"}
    report = changed(clean, lambda e: dataclasses.replace(e, instruction=words.get(e.instruction, e.instruction)))
    (flag,) = of(report, "left and right")
    assert flag.severity is Severity.ERROR
    assert "0 turn to it" in flag.found


def test_episodes_that_never_stop_are_flagged(clean: list[Episode]) -> None:
    def cut(episode: Episode) -> Episode:
        end = episode.done_since
        actions = episode.actions.between(episode.begin, end)
        return dataclasses.replace(episode, actions=actions, end=end)

    (flag,) = of(changed(clean, cut), "stop examples")
    assert flag.found == "0 of 24 episodes end with zero commands"


def test_full_commands_alone_are_flagged_and_limits_can_be_given(clean: list[Episode]) -> None:
    report = changed(clean, lambda e: with_actions(e, np.sign(np.round(e.actions.values, 1)) * np.float32(0.5)))
    assert [flag.severity for flag in of(report, "saturation")] == [Severity.WARNING]
    assert of(audit(clean, {"linear_x": (0.0, 1.0), "angular_z": (-2.0, 2.0)}), "saturation") == []
    tight = audit([scaled(0.0, 4.0)(episode) for episode in clean], {"angular_z": (-0.2, 0.2)})
    assert "limits given" in of(tight, "saturation")[0].found


def test_waiting_is_flagged(clean: list[Episode]) -> None:
    report = changed(clean, lambda e: dataclasses.replace(e, end=e.end + 10.0))
    assert of(report, "standing")[0].severity is Severity.WARNING


@pytest.mark.parametrize(
    ("sentence", "what"),
    [
        ("", "have no sentence"),
        ("  ", "have no sentence"),
        ("episode_20250815_1box_hori_left_core", "a file's or scenario's name"),
        ("b'go left'", "bytes that were never decoded"),
        ('{"task": "go"}', "a serialised structure"),
        ("17", "a number"),
        ("None", "a placeholder"),
        ("go\ufffd\ufffd", "bytes of another encoding"),
    ],
)
def test_what_is_no_sentence_is_flagged(clean: list[Episode], sentence: str, what: str) -> None:
    odd = dataclasses.replace(clean[0], instruction=sentence)
    (flag,) = of(audit([odd, *clean[1:]]), "instructions")
    assert what in flag.found
    assert flag.episodes == (odd.source,)


def test_one_sentence_for_all_is_flagged(clean: list[Episode]) -> None:
    report = changed(clean, lambda e: dataclasses.replace(e, instruction="go to the goal"))
    assert of(report, "instructions")[0].found == "all 24 episodes say 'go to the goal'"


def test_spellings_and_languages_are_noted(clean: list[Episode]) -> None:
    sentences = ["turn left", "Turn left.", "왼쪽으로 돌아"]
    odd = [dataclasses.replace(e, instruction=sentences[n]) for n, e in enumerate(clean[:3])]
    flags = of(audit([*odd, *clean[3:]]), "instructions")
    assert {flag.severity for flag in flags} == {Severity.NOTE}
    assert "'Turn left.' and 'turn left'" in flags[0].found
    assert "1 in others" in flags[1].found


@pytest.mark.parametrize(
    ("sentence", "found"),
    [
        ("go\x00on", "policy_node refuses 1 of the sentences: instruction 'go\\x00on' refused: it has the control"),
        ("!?", "policy_node refuses 1 of the sentences: instruction '!?' refused: it has no letter"),
        ("멈춰!", "1 sentences mean stop: '멈춰!'"),
    ],
)
def test_sentences_that_no_policy_ever_gets_are_flagged(clean: list[Episode], sentence: str, found: str) -> None:
    odd = dataclasses.replace(clean[0], instruction=sentence)
    flags = [flag for flag in of(audit([odd, *clean[1:]]), "instructions") if flag.episodes]
    assert [flag.episodes for flag in flags] == [(odd.source,)]
    assert flags[0].found.startswith(found)


def test_recordings_without_instructions_and_with_repeated_ones_are_flagged(clean: list[Episode]) -> None:
    again = [dataclasses.replace(clean[0], repeats=39), *clean[1:]]
    recordings = [
        Recording("room0", images=80, outside=10, stop_sentences=("stop", "Stop!")),
        Recording("late", images=40, outside=30, stop_sentences=()),
    ]
    report = audit(again, recordings=recordings)
    late, repeated, stopped = of(report, "instructions")
    assert (late.severity, late.found) == (
        Severity.WARNING,
        "more than 20% of the images of 1 recordings lie in no episode: late (75%)",
    )
    assert repeated.episodes == (clean[0].source,)
    assert "39 times in all" in repeated.found
    assert stopped.found == "2 messages meant stop: 'stop' (1), 'Stop!' (1)"
    rows = dict(overall_rows(report))
    assert rows["images in no episode"] == "33% of 120"
    assert (rows["sentences that mean stop"], rows["instructions given again"]) == ("2", "39, in 1 episodes")


@pytest.mark.parametrize(
    ("sentence", "side", "colour"),
    [
        ("Turn LEFT at the red box", "left", "red"),
        ("not left, right", None, None),
        ("bright reddish leftovers", None, None),
        ("turn counter-clockwise", "left", None),
        ("turn clockwise", "right", None),
        ("왼쪽 파란 상자로", "left", "blue"),
        ("the red and the blue box", None, None),
    ],
)
def test_words_are_found(sentence: str, side: str | None, colour: str | None) -> None:
    assert (side_in(sentence), colour_in(sentence)) == (side, colour)


def test_what_cannot_be_audited_is_refused(clean: list[Episode]) -> None:
    with pytest.raises(DataError, match="no episode"):
        audit([])
    with pytest.raises(DataError, match="room0#0"):
        audit([clean[0], clean[0]])
    with pytest.raises(DataError, match="linear_q"):
        audit(clean, {"linear_q": (0.0, 1.0)})


def test_one_short_episode_alone_can_be_audited() -> None:
    report = audit([make_episode(0)])
    assert report.overall.episodes == 1
    assert report.overall.colours["front"].order is Order.UNKNOWN
