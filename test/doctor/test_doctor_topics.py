"""What the doctor says of topics, as observed; no ROS."""

from pathlib import Path

import pytest
import yaml

from mobile_vla_ros.doctor import Finding, State
from mobile_vla_ros.doctor.topics import (
    BOOL,
    CAMERA_TIMEOUT,
    COMPRESSED_IMAGE,
    IMAGE,
    TWIST,
    TWIST_STAMPED,
    Camera,
    Endpoint,
    Frame,
    Speaker,
    check_camera,
    check_clock,
    check_command,
    check_emergency_stop,
    check_instruction,
)

TOPIC = "/camera/image_raw"
CAMERA = Endpoint("/camera", IMAGE, True, False)
BASE = Endpoint("/base", TWIST, True, False)
NODE = Endpoint("/policy_node", TWIST, True, False)


def frames(count: int = 30, period: float = 0.1, age: float | None = 0.02, problem: str = "") -> tuple[Frame, ...]:
    return tuple(Frame(number * period, age, "rgb8, 640 x 480", 921_600, problem) for number in range(count))


def camera(*publishers: Endpoint, of: tuple[Frame, ...] = ()) -> Camera:
    return Camera(TOPIC, IMAGE, publishers, of, 5.0)


def worst(findings: list[Finding]) -> tuple[str, State]:
    """The check that is not ok; there is one."""
    (finding,) = (finding for finding in findings if finding.state is not State.OK)
    assert finding.advice
    return finding.check.removeprefix(f"camera {TOPIC}").lstrip(": "), finding.state


def test_a_good_camera() -> None:
    findings = check_camera(camera(CAMERA, of=frames()), 0.2)
    assert [finding.state for finding in findings] == [State.OK] * 3
    assert findings[0].found == "10.0 Hz, longest gap 0.10 s (reliable)"
    assert findings[1].found == "age 20 ms on arrival, at most 20 ms"
    assert findings[2].found == "rgb8, 640 x 480"


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (camera(), ("", State.ERROR)),
        (camera(CAMERA), ("", State.ERROR)),
        (camera(Endpoint("/camera", COMPRESSED_IMAGE, True, False), of=frames()), ("", State.ERROR)),
        (camera(CAMERA, Endpoint("/bag", IMAGE, True, False), of=frames()), ("", State.ERROR)),
        (camera(CAMERA, of=frames(2)), ("rate", State.ERROR)),
        (camera(CAMERA, of=frames(period=0.25)), ("rate", State.WARNING)),  # slower than the policy's 0.2 s
        (camera(CAMERA, of=frames(period=0.5)), ("rate", State.WARNING)),
        (camera(CAMERA, of=frames(age=None)), ("stamps", State.ERROR)),
        (camera(CAMERA, of=frames(age=1.0)), ("stamps", State.ERROR)),
        (camera(CAMERA, of=frames(age=-3600.0)), ("stamps", State.ERROR)),
        (camera(CAMERA, of=(*frames(29), Frame(2.9, 0.5, "rgb8", 1, ""))), ("stamps", State.WARNING)),
        (camera(CAMERA, of=frames(problem="image encoding 'yuyv' is not supported")), ("content", State.ERROR)),
    ],
)
def test_a_camera_that_the_node_cannot_drive_by(seen: Camera, expected: tuple[str, State]) -> None:
    assert worst(check_camera(seen, 0.2)) == expected


def test_without_a_policy_any_rate_above_the_timeout_will_do() -> None:
    assert [finding.state for finding in check_camera(camera(CAMERA, of=frames(period=0.25)), None)] == [State.OK] * 3


def test_the_timeout_is_the_nodes_own() -> None:
    path = Path(__file__).parents[2] / "config" / "policy_node.yaml"
    assert yaml.safe_load(path.read_text())["/**"]["ros__parameters"]["camera_timeout"] == CAMERA_TIMEOUT


@pytest.mark.parametrize(
    ("stamped", "publishers", "listeners", "state"),
    [
        (False, (), (), State.ERROR),
        (False, (), (BASE,), State.OK),
        (False, (NODE,), (BASE,), State.OK),
        (False, (Endpoint("/r1/policy_node", TWIST, True, False),), (BASE,), State.OK),
        (True, (), (BASE,), State.ERROR),
        (True, (), (Endpoint("/base", TWIST_STAMPED, True, False),), State.OK),
        (False, (), (Endpoint("/base", TWIST, True, True),), State.ERROR),
        (False, (NODE, Endpoint("/teleop", TWIST, True, False)), (BASE,), State.WARNING),
    ],
)
def test_the_command_topic(
    stamped: bool, publishers: tuple[Endpoint, ...], listeners: tuple[Endpoint, ...], state: State
) -> None:
    assert check_command("/cmd_vel", stamped, publishers, listeners).state is state


BUTTON = Endpoint("/button", BOOL, True, False)


@pytest.mark.parametrize(
    ("publishers", "state"),
    [
        ((), State.WARNING),
        ((BUTTON,), State.OK),
        ((BUTTON, Endpoint("/other_button", BOOL, True, False)), State.WARNING),
        ((Endpoint("/button", BOOL, False, False),), State.ERROR),
        ((Endpoint("/button", "std_msgs/msg/Empty", True, False),), State.ERROR),
    ],
)
def test_the_emergency_stop(publishers: tuple[Endpoint, ...], state: State) -> None:
    finding = check_emergency_stop("/emergency_stop", publishers)
    assert finding.state is state
    assert bool(finding.advice) == (state is not State.OK)


PANEL, ONCE = Speaker("/panel", False, False), Speaker("/_ros2cli_7", True, True)


@pytest.mark.parametrize(
    ("speakers", "sentences", "state", "found"),
    [
        ((), (), State.OK, "nobody publishes it now"),
        ((PANEL,), ("go left",), State.OK, "published by /panel"),
        ((Speaker("/panel", False, True),), (), State.OK, "nobody publishes it now"),
        ((PANEL,), ("go left", "go right"), State.OK, "published by /panel"),
        ((PANEL,), ("go left", "go left"), State.WARNING, "'go left' came 2 times"),
        ((PANEL, ONCE), (), State.WARNING, "/_ros2cli_7 came and went, and no message arrived"),
        ((PANEL, ONCE), ("go left",), State.WARNING, "/_ros2cli_7 came and went"),
    ],
)
def test_instructions(speakers: tuple[Speaker, ...], sentences: tuple[str, ...], state: State, found: str) -> None:
    finding = check_instruction("/r1/instruction", speakers, sentences)
    assert (finding.state, finding.found) == (state, found)
    command = "ros2 topic pub --once --keep-alive 2 /r1/instruction std_msgs/msg/String \"{data: 'go to the red box'}\""
    assert command in finding.advice


def test_the_clock() -> None:
    found = [
        check_clock(True, 0, 0.0),
        check_clock(True, 1, 0.0),
        check_clock(True, 1, 12.5),
        check_clock(False, 1, 9e9),
    ]
    assert [finding and finding.state for finding in found] == [State.ERROR, State.ERROR, State.OK, State.WARNING]
    assert check_clock(False, 0, 9e9) is None
