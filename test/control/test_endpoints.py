"""Who subscribes to the commands, and publishers that come and go; no ROS."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobile_vla_ros.control.endpoints import (
    BRIEF,
    IN_TRANSIT,
    UNKNOWN_NODE,
    BriefPublishers,
    Subscriber,
    SubscriberWatch,
)

OWN, BEHIND = "/cmd_vel_vla", "/cmd_vel"
MUX, BASE = Subscriber("/twist_mux", "m"), Subscriber("/base", "b")
ECHO, RECORDER, PANEL = (
    Subscriber(node, node) for node in ("/_ros2cli_123", "/r1/rosbag2_recorder", "/foxglove_bridge")
)
NAMES = ["/twist_mux", "/base", "/_ros2cli_1", "/rosbag2_recorder", "/logger", UNKNOWN_NODE]
FOUND = st.sets(st.builds(Subscriber, st.sampled_from(NAMES), st.integers(0, 40).map(str)), max_size=5).filter(
    lambda found: len({one.endpoint for one in found}) == len(found)
)


def armed(*found: Subscriber) -> SubscriberWatch:
    watch = SubscriberWatch([BEHIND])
    assert watch.arm({BEHIND: found}) is None
    return watch


def look(watch: SubscriberWatch, *found: Subscriber) -> tuple[str, list[str]]:
    return watch.look({BEHIND: found}, armed=True)


@pytest.mark.parametrize("found", [(), (ECHO, RECORDER, PANEL)])
def test_a_robot_that_nobody_hears_is_not_armed(found: tuple[Subscriber, ...]) -> None:
    watch = SubscriberWatch([OWN, BEHIND])
    assert watch.arm({OWN: (MUX,), BEHIND: found}) == "nobody subscribes to /cmd_vel"
    assert watch.arm({OWN: found, BEHIND: found}) == "nobody subscribes to /cmd_vel_vla, /cmd_vel"
    assert watch.arm({OWN: (MUX,), BEHIND: (BASE, *found)}) is None
    assert watch.nodes == {OWN: "/twist_mux", BEHIND: "/base"}


def test_the_last_one_that_goes_is_a_reason_to_disarm() -> None:
    watch = armed(BASE)
    assert look(watch, BASE) == ("", [])
    assert look(watch, ECHO) == ("nobody subscribes to /cmd_vel any more: /base has gone", [])
    assert watch.missing == "nobody subscribes to /cmd_vel"


def test_one_that_takes_its_place_within_a_look_is_none_that_the_robot_was_armed_with() -> None:
    assert look(armed(BASE), MUX) == ("/base no longer subscribes to /cmd_vel", [])


def test_one_of_several_that_goes_is_a_warning_and_a_reason_when_it_comes_back() -> None:
    watch = armed(BASE, MUX)
    assert look(watch, MUX) == ("", ["/base no longer subscribes to /cmd_vel"])
    assert look(watch, MUX) == ("", [])
    assert watch.lost == ["/base no longer subscribes to /cmd_vel"]
    assert look(watch, MUX, Subscriber("/base", "b2")) == ("/base, which subscribes to /cmd_vel, was restarted", [])
    assert watch.arm({BEHIND: (MUX,)}) is None
    assert watch.lost == []


def test_a_second_subscription_of_a_node_shows_that_it_was_killed_and_restarted() -> None:
    watch = armed(BASE)
    again = Subscriber("/base", "b2")
    assert look(watch, BASE, again) == ("/base, which subscribes to /cmd_vel, was restarted", [])
    assert watch.arm({BEHIND: (BASE, again)}) is None
    assert look(watch, again) == ("", [])  # DDS has noticed at last that the old one is dead


def test_a_dead_process_that_is_still_in_the_graph_does_not_stand_in_for_the_one_that_goes() -> None:
    watch = armed(BASE)
    again = Subscriber("/base", "b2")
    look(watch, BASE, again)
    assert watch.arm({BEHIND: (BASE, again)}) is None
    assert look(watch, BASE) == ("/base no longer subscribes to /cmd_vel", [])


def test_a_node_whose_name_comes_later() -> None:
    watch = armed(BASE)
    assert look(watch, BASE, Subscriber(UNKNOWN_NODE, "x")) == ("", [])
    assert look(watch, BASE, Subscriber("/base", "x"))[0] == "/base, which subscribes to /cmd_vel, was restarted"
    watch = armed(BASE)
    assert look(watch, BASE, Subscriber(UNKNOWN_NODE, "x")) == ("", [])
    assert look(watch, BASE, Subscriber("/_ros2cli_1", "x")) == ("", [])
    assert armed(Subscriber(UNKNOWN_NODE, "x")).nodes == {BEHIND: UNKNOWN_NODE}  # a base that is no ROS node


def test_while_it_is_disarmed_anybody_may_come_and_go() -> None:
    watch = armed(BASE)
    for found in ((), (Subscriber("/base", "b2"),), (MUX,)):
        assert watch.look({BEHIND: found}, armed=False) == ("", [])
    assert watch.nodes == {BEHIND: "/twist_mux"}


def ages_of(looks: list[set[Subscriber]]) -> list[dict[str, int]]:
    """For how many looks each subscription has been there without a break, at each look."""
    ages: list[dict[str, int]] = []
    for found in looks:
        before = ages[-1] if ages else {}
        ages.append({one.endpoint: before.get(one.endpoint, 0) + 1 for one in found})
    return ages


@given(st.lists(FOUND, min_size=1, max_size=12))
def test_any_run(looks: list[set[Subscriber]]) -> None:
    watch = SubscriberWatch([BEHIND])
    counted = [{one for one in found if not one.is_tool} for found in looks]
    ages = ages_of(counted)
    refused = watch.arm({BEHIND: looks[0]})
    assert bool(refused) == (not counted[0])
    if refused:
        return
    names = {one.endpoint: one.node for one in counted[0]}  # all that were ever seen
    for number, (before, now, found) in enumerate(zip(counted, counted[1:], looks[1:], strict=False)):
        reason, warnings = look(watch, *found)
        live = [
            {
                one.endpoint
                for one in found
                if one.node == UNKNOWN_NODE
                or not any(age[one.endpoint] > age[other.endpoint] and one.node == other.node for other in found)
            }
            for age, found in ((ages[number], before), (ages[number + 1], now))
        ]
        known = set(names.values()) - {UNKNOWN_NODE}
        new = {
            one.node for one in now if one.endpoint in live[1] and names.get(one.endpoint, UNKNOWN_NODE) == UNKNOWN_NODE
        }
        must = bool(live[0]) and not live[0] & live[1]
        assert bool(reason) == (must or bool(new & known))
        assert not (must and not new & known and warnings)
        assert all(BEHIND in text for text in (reason, *warnings) if text)
        names |= {one.endpoint: one.node for one in now}


@given(st.lists(FOUND, min_size=1, max_size=8), st.lists(st.integers(0, 3), min_size=8, max_size=8))
def test_tools_change_nothing(looks: list[set[Subscriber]], tools: list[int]) -> None:
    alone, watched = SubscriberWatch([BEHIND]), SubscriberWatch([BEHIND])
    counted = [[one for one in found if not one.is_tool] for found in looks]
    full = [
        [*found, *(Subscriber(f"/_ros2cli_{number}", f"tool {number}") for number in range(count))]
        for found, count in zip(counted, tools, strict=False)
    ]
    assert alone.arm({BEHIND: counted[0]}) == watched.arm({BEHIND: full[0]})
    for without, found in zip(counted[1:], full[1:], strict=True):
        assert look(alone, *without) == look(watched, *found)
    assert alone.nodes == watched.nodes


def test_a_publisher_that_came_and_went_unheard_is_noticed_once() -> None:
    publishers = BriefPublishers()
    publishers.change(1, 0, 10.0)
    assert not publishers.missed(10.3)
    publishers.change(0, 1, 10.4)
    assert not publishers.missed(10.4 + IN_TRANSIT)
    assert publishers.missed(10.5 + IN_TRANSIT)
    assert not publishers.missed(12.0)
    publishers.change(1, 1, 20.0)  # both within one event
    assert publishers.missed(20.1 + IN_TRANSIT)


def test_a_publisher_that_was_heard_or_stayed_is_not() -> None:
    publishers = BriefPublishers()
    publishers.change(1, 0, 10.0)
    publishers.hear()
    publishers.change(0, 1, 10.2)
    assert not publishers.missed(11.0)
    publishers.change(1, 1, 20.0)
    publishers.hear()  # the message was read after it was known that its publisher had gone
    assert not publishers.missed(21.0)
    publishers.change(1, 0, 30.0)
    publishers.change(0, 1, 30.1 + BRIEF)  # a node that had nothing to say
    assert not publishers.missed(40.0)
