"""Who is at the other end of the robot's topics: subscribers of the velocity command, publishers of the instruction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

UNKNOWN_NODE = "(unknown node)"  # a subscription whose node is not known (yet), or that belongs to no ROS node
# What the names of nodes begin with that only look on: hidden ones such as ros2cli's, recorders, viewers.
TOOLS = ("_", "rosbag2", "foxglove_bridge", "plotjuggler", "rqt", "rviz")
BRIEF = 5.0  # s; a publisher that was there for longer than that is no `ros2 topic pub --once`
IN_TRANSIT = 0.5  # s that a message may be read after its publisher is known to have gone


@dataclass(frozen=True)
class Subscriber:
    """A subscription of somebody.

    Attributes:
        node: Full name of its node, or `UNKNOWN_NODE`.
        endpoint: Identifier of the subscription, which no other one ever has.
    """

    node: str
    endpoint: str

    @property
    def is_tool(self) -> bool:
        """Whether it only looks on, so that the robot does not depend on it."""
        return self.node.rpartition("/")[2].startswith(TOOLS)


@dataclass
class _Topic:
    """Subscriptions of a topic, but for those of tools: node by endpoint.

    Attributes:
        present: Those of the last look that count: of several of one node the newest, an older one may be of a process
            that was killed.
        known: All of them since arming.
        first: Number of the look that saw each of them first.
        looks: Number of looks.
    """

    present: dict[str, str] = field(default_factory=dict)
    known: dict[str, str] = field(default_factory=dict)
    first: dict[str, int] = field(default_factory=dict)
    looks: int = 0

    def see(self, found: Iterable[Subscriber]) -> dict[str, str]:
        """Take what a look has found; all of it, also what does not count."""
        self.looks += 1
        seen = {one.endpoint: one.node for one in found if not one.is_tool}
        self.first = {endpoint: self.first.get(endpoint, self.looks) for endpoint in seen}
        newest: dict[str, int] = {}
        for endpoint, node in seen.items():
            newest[node] = max(self.first[endpoint], newest.get(node, 0))
        self.present = {
            endpoint: node
            for endpoint, node in seen.items()
            if node == UNKNOWN_NODE or self.first[endpoint] == newest[node]
        }
        return seen


class SubscriberWatch:
    """Notices that those who hear the robot's commands have gone or were restarted since it was armed.

    A process that is killed stays in the graph for a while (Fast DDS: up to 20 s). When it is restarted meanwhile, a
    second subscription of the same node name shows that; from then on the newest one of that name counts. Tools do not.

    Args:
        topics: Full names of the topics between the node and the wheels, each of which needs a subscriber.

    Attributes:
        topics: The same.
        lost: What was lost since arming without reason to stop, in words.
    """

    def __init__(self, topics: Sequence[str]) -> None:
        self.topics = tuple(dict.fromkeys(topics))
        self.lost: list[str] = []
        self._state = {topic: _Topic() for topic in self.topics}

    @property
    def missing(self) -> str:
        """Which topics nobody subscribed to at the last look, in words; empty: none."""
        silent = [topic for topic, state in self._state.items() if not state.present]
        return f"nobody subscribes to {', '.join(silent)}" if silent else ""

    @property
    def nodes(self) -> dict[str, str]:
        """Nodes that subscribed at the last look, by topic, in words."""
        return {
            topic: ", ".join(sorted(set(state.present.values()))) or "nobody" for topic, state in self._state.items()
        }

    def arm(self, found: Mapping[str, Iterable[Subscriber]]) -> str | None:
        """Watch from now on.

        Args:
            found: Present subscriptions by topic.

        Returns:
            Why the robot must not be armed; None: it may be.
        """
        self.lost = []
        for topic, state in self._state.items():
            state.known = state.see(found[topic])
        return self.missing or None

    def look(self, found: Mapping[str, Iterable[Subscriber]], armed: bool) -> tuple[str, list[str]]:
        """Compare with what was there.

        Args:
            found: Present subscriptions by topic.
            armed: Whether the robot is armed; else nothing is wrong with a change.

        Returns:
            Why the robot must be disarmed, empty: it need not be; what else was lost since the last look, in words.
        """
        reasons: list[str] = []
        warnings: list[str] = []
        for topic, state in self._state.items():
            before = state.present
            seen, present = state.see(found[topic]), state.present
            if not armed:
                continue
            tools = {one.endpoint for one in found[topic] if one.is_tool}  # such as one whose name was not known before
            restarted = _restarted(topic, state.known, present)
            reasons += restarted
            if before and not restarted and not before.keys() & present.keys():
                who = ", ".join(sorted(set(before.values())))
                reasons.append(
                    f"{who} no longer subscribes to {topic}"
                    if present
                    else f"nobody subscribes to {topic} any more: {who} has gone"
                )
            else:
                left = {node for endpoint, node in before.items() if endpoint not in tools} - set(present.values())
                gone = left - {UNKNOWN_NODE}
                warnings += [f"{node} no longer subscribes to {topic}" for node in sorted(gone)]
            state.known |= seen
        self.lost += warnings
        return "; ".join(reasons), warnings


def _restarted(topic: str, known: Mapping[str, str], present: Mapping[str, str]) -> list[str]:
    """Nodes that have another subscription than the one that is known of them, in words."""
    names = set(known.values()) - {UNKNOWN_NODE}
    again = {
        node
        for endpoint, node in present.items()
        if node in names and known.get(endpoint, UNKNOWN_NODE) == UNKNOWN_NODE
    }
    return [f"{node}, which subscribes to {topic}, was restarted" for node in sorted(again)]


class BriefPublishers:
    """Notices that a publisher came and went without a message, as `ros2 topic pub --once` does on a busy machine.

    Times are s, steady clock.
    """

    def __init__(self) -> None:
        self._came: float | None = None  # when the last publisher came, if nothing was heard since
        self._went: float | None = None  # when one went then

    def change(self, came: int, went: int, steady: float) -> None:
        """Note that so many publishers came, and so many went."""
        if came > 0:
            self._came, self._went = steady, None
        if went > 0 and self._came is not None and steady - self._came <= BRIEF:
            self._went = steady

    def hear(self) -> None:
        """Note a message."""
        self._came = self._went = None

    def missed(self, steady: float) -> bool:
        """Whether one came and went unheard; said once."""
        if self._went is None or steady - self._went <= IN_TRANSIT:
            return False
        self._came = self._went = None
        return True
