"""Checks of what was seen on the robot's topics; no rclpy here."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from .finding import Finding, State, error, ok, warning

IMAGE, COMPRESSED_IMAGE = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
BOOL = "std_msgs/msg/Bool"
TWIST, TWIST_STAMPED = "geometry_msgs/msg/Twist", "geometry_msgs/msg/TwistStamped"
CAMERA_TIMEOUT = 0.3  # s; the node's own, in config/policy_node.yaml
AHEAD = 0.05  # s that a stamp may lie in the future before the clocks are said to differ
PUBLISH = "ros2 topic pub --once --keep-alive 2 {topic} std_msgs/msg/String \"{{data: 'go to the red box'}}\""
LOSSY = "raw pictures get lost one by one: config/fast_dds.xml for the camera's driver, or image_transport: compressed"


@dataclass(frozen=True)
class Endpoint:
    """A publisher or subscription of somebody.

    Attributes:
        node: its full name.
        kind: message type.
        reliable: reliability; false: best effort.
        latched: durability transient_local; false: volatile.
    """

    node: str
    kind: str
    reliable: bool
    latched: bool


@dataclass(frozen=True)
class Frame:
    """A picture that arrived.

    Attributes:
        arrived: s, steady.
        age: s from its stamp until it arrived, by the node's clock; None: its stamp is 0.
        layout: encoding and size, or compressed format.
        size: bytes.
        problem: why the node would refuse it; empty if it would not.
    """

    arrived: float
    age: float | None
    layout: str
    size: int
    problem: str


@dataclass(frozen=True)
class Camera:
    """What was seen of a camera.

    Attributes:
        topic: full name.
        expected: message type that the node subscribes to.
        publishers: of the topic.
        frames: in the order of arrival.
        seconds: for how long it was watched.
    """

    topic: str
    expected: str
    publishers: tuple[Endpoint, ...]
    frames: tuple[Frame, ...]
    seconds: float


def check_camera(camera: Camera, dt: float | None) -> list[Finding]:
    """Whether the node can see.

    Args:
        camera: as observed.
        dt: s between frames that the policy was trained with; None: not known.
    """
    name = f"camera {camera.topic}"
    if not camera.publishers:
        advice = "start the camera; its topic: image:= of the launch file, its kind: image_transport"
        return [error(name, "nobody publishes it", advice)]
    kinds = sorted({publisher.kind for publisher in camera.publishers})
    if kinds != [camera.expected]:
        found = f"type {', '.join(kinds)}, expected {camera.expected}"
        return [error(name, found, "image_transport: raw, or compressed (doctor --compressed)")]
    quality = _quality(camera.publishers)
    if len(camera.publishers) > 1:
        nodes = ", ".join(publisher.node for publisher in camera.publishers)
        return [error(name, f"{len(camera.publishers)} publishers: {nodes}", "one camera a topic: stop or rename one")]
    if not camera.frames:
        advice = f"look whether the camera runs: ros2 topic hz --qos-reliability best_effort; {LOSSY}"
        return [error(name, f"published ({quality}), but no frame came within {camera.seconds:g} s", advice)]
    return [*_rate(name, camera, quality, dt), _stamps(name, camera), _content(name, camera)]


def _rate(name: str, camera: Camera, quality: str, dt: float | None) -> list[Finding]:
    check, frames = f"{name}: rate", camera.frames
    if len(frames) < 3:
        found = f"{len(frames)} frames in {camera.seconds:g} s ({quality})"
        return [error(check, found, "cmd_vel is zero between such frames: raise the rate, or compress the pictures")]
    gaps = [later.arrived - earlier.arrived for earlier, later in pairwise(frames)]
    rate = len(gaps) / (frames[-1].arrived - frames[0].arrived)
    found = f"{rate:.1f} Hz, longest gap {max(gaps):.2f} s ({quality})"
    if max(gaps) > CAMERA_TIMEOUT:
        return [warning(check, found, f"above camera_timeout ({CAMERA_TIMEOUT:g} s) the robot stops; {LOSSY}")]
    if dt is not None and rate < 1.0 / dt:
        return [warning(check, found, f"the policy wants a frame every {dt:g} s ({1.0 / dt:g} Hz); {LOSSY}")]
    return [ok(check, found)]


def _stamps(name: str, camera: Camera) -> Finding:
    check = f"{name}: stamps"
    ages = [frame.age for frame in camera.frames if frame.age is not None]
    if len(ages) < len(camera.frames):
        return error(check, "frames without a stamp", "the driver must stamp its frames: the node refuses the others")
    middle = median(ages)
    found = f"age {middle * 1000:.0f} ms on arrival, at most {max(ages) * 1000:.0f} ms"
    if middle < -AHEAD:
        advice = "the camera's clock runs ahead: chrony or PTP between machines, the same use_sim_time everywhere"
        return error(check, found, advice)
    if middle > CAMERA_TIMEOUT:
        advice = (
            f"older than camera_timeout ({CAMERA_TIMEOUT:g} s): another clock, a driver that queues, a slow network"
        )
        return error(check, found, advice)
    if max(ages) > CAMERA_TIMEOUT:
        return warning(check, found, f"some are older than camera_timeout ({CAMERA_TIMEOUT:g} s), and are refused")
    return ok(check, found)


def _content(name: str, camera: Camera) -> Finding:
    check = f"{name}: content"
    problems = [frame.problem for frame in camera.frames if frame.problem]
    if problems:
        advice = "let the driver publish another one, or set the node's parameter encoding (docs/robot.md)"
        return error(check, problems[0], advice)
    return ok(check, camera.frames[-1].layout)


def check_command(
    topic: str, stamped: bool, publishers: tuple[Endpoint, ...], listeners: tuple[Endpoint, ...]
) -> Finding:
    """Whether a base hears the node, and nobody else drives it.

    Args:
        topic: full name.
        stamped: whether the node is to publish TwistStamped.
        publishers: of the topic.
        listeners: its subscriptions.
    """
    kind = TWIST_STAMPED if stamped else TWIST
    if not listeners:
        return error(topic, "nobody listens", "start the base, or name its topic (cmd_vel:= of the launch file)")
    names = ", ".join(f"{listener.node} ({listener.kind.rpartition('/')[2]})" for listener in listeners)
    deaf = [listener for listener in listeners if listener.kind != kind]
    if deaf:
        advice = f"the node publishes {kind.rpartition('/')[2]}: change enable_stamped_cmd_vel, here or there"
        return error(topic, f"listening: {names}", advice)
    if any(listener.latched for listener in listeners):
        advice = "a subscription that asks for transient_local hears no velocity command: make it volatile"
        return error(topic, f"listening: {names}", advice)
    others = sorted({publisher.node for publisher in publishers if not publisher.node.endswith("/policy_node")})
    if others:
        advice = "two drivers of one base alternate: put twist_mux between (launch/safety.launch.py)"
        return warning(topic, f"listening: {names}; also published by {', '.join(others)}", advice)
    return ok(topic, f"listening: {names}")


def check_emergency_stop(topic: str, publishers: tuple[Endpoint, ...]) -> Finding:
    """Whether the node will hear the emergency stop.

    Args:
        topic: full name.
        publishers: of the topic.
    """
    names = ", ".join(publisher.node for publisher in publishers)
    if not publishers:
        advice = "only ~/stop stops the robot then: a heartbeat here and emergency_stop_timeout (docs/safety.md)"
        return warning(topic, "nobody publishes it", advice)
    if any(publisher.kind != BOOL for publisher in publishers):
        kinds = ", ".join(sorted({publisher.kind for publisher in publishers}))
        return error(topic, f"type {kinds}, by {names}", f"the node hears {BOOL}: change the publisher")
    if not all(publisher.reliable for publisher in publishers):
        return error(topic, f"published best effort, by {names}", "the node does not hear that: publish it reliably")
    if len(publishers) > 1:
        return warning(topic, f"{len(publishers)} publishers: {names}", "of two the last message counts: keep one")
    return ok(topic, f"published by {names}")


@dataclass(frozen=True)
class Speaker:
    """A publisher of `instruction`.

    Attributes:
        node: Full name of its node.
        came: Whether it came while the topic was watched.
        went: Whether it went while the topic was watched.
    """

    node: str
    came: bool
    went: bool


def check_instruction(topic: str, speakers: tuple[Speaker, ...], sentences: tuple[str, ...]) -> Finding:
    """Whether instructions arrive, and each of them once.

    Args:
        topic: Full name.
        speakers: Publishers that were seen.
        sentences: Messages that arrived, in their order.
    """
    advice = f"by hand: {PUBLISH.format(topic=topic)}"
    brief = sorted({speaker.node for speaker in speakers if speaker.came and speaker.went})
    again = {sentence: sentences.count(sentence) for sentence in sentences if sentences.count(sentence) > 1}
    if again:
        found = ", ".join(f"{sentence!r} came {count} times" for sentence, count in again.items())
        return warning(topic, found, f"publish a sentence once: one that is repeated is a single task; {advice}")
    if brief:
        found = f"{', '.join(brief)} came and went{'' if sentences else ', and no message arrived'}"
        return warning(topic, found, f"who ends right after publishing may not be heard; {advice}")
    names = ", ".join(sorted({speaker.node for speaker in speakers if not speaker.went}))
    return Finding(topic, State.OK, f"published by {names}" if names else "nobody publishes it now", advice)


def check_clock(use_sim_time: bool, publishers: int, now: float) -> Finding | None:
    """Whether time comes from where the node expects it; None where there is nothing to say.

    Args:
        use_sim_time: whether the node is to use it.
        publishers: of /clock.
        now: s, what the node's clock says.
    """
    if use_sim_time and not publishers:
        return error("/clock", "nobody publishes it", "start the simulator, or use_sim_time:=false")
    if use_sim_time and now == 0.0:
        return error("/clock", "published, but the time is 0", "the simulation is paused or has just begun")
    if use_sim_time:
        return ok("/clock", f"{publishers} publisher{'s' * (publishers > 1)}, time {now:.1f} s")
    if publishers:
        return warning("/clock", "published, but use_sim_time is false", "use_sim_time:=true if a simulator runs")
    return None


def _quality(publishers: tuple[Endpoint, ...]) -> str:
    return ", ".join("reliable" if publisher.reliable else "best effort" for publisher in publishers)
