"""What policy_node has in the place of a policy: a link to a policy_server, and a worker that asks it."""

from __future__ import annotations

import queue
import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
from rclpy.node import Node
from std_msgs.msg import String

from ..camera_topics import heard_topics
from ..control import ActionPlan
from ..inference.worker import Answer, BadFrame, Failure, Planned, Request, drained
from ..qos import LATCHED, NEWEST, SEVERAL
from ..robot_node import StartError
from ..stamps import nanoseconds
from .words import Answered, Asked, Offer, WordsError, decode, encode

PATIENCE = 10.0  # s for the server to be found
_LOOK = 0.05  # s between looks
_WAITING = 50  # requests that are remembered


class RemotePolicy:
    """A policy that a server runs.

    Args:
        link: to the server.
        offer: what it has.

    Attributes:
        config: as `loading.DrivingPolicy` has it.
        identity, description: of it.
    """

    def __init__(self, link: PolicyLink, offer: Offer) -> None:
        dimensions = [SimpleNamespace(name=name, minimum=a, maximum=b) for name, (a, b) in offer.ranges.items()]
        action = SimpleNamespace(limits=SimpleNamespace(**offer.limits), continuous=dimensions)
        self.config = SimpleNamespace(dt=offer.dt, cameras=offer.cameras, action=action)
        self.identity = offer.identity
        self.description = f"on {link.server}: {offer.description}"
        self._link, self._offer = link, offer

    def connect(self, answered: Callable[[], None]) -> RemoteWorker:
        """What hands it frames; `answered` is called when there is an answer."""
        return self._link.connect(self._offer, answered)


class RemoteWorker:
    """Asks the server for a step with each frame; as `inference.InferenceWorker` to those who use it.

    It has no thread, and waits for nothing: an answer that does not come is the silence of a policy, which stops the
    robot after `policy_timeout`, on this machine and without the network.

    Args:
        ask: sends a request.
        client: full name of the node.
        offer: what the controller is made for.
        answered: is called when there is an answer.

    Attributes:
        alive: until it is closed; whether the server is, its answers say.
        replaced: how many frames were, by newer ones, before the server could take them.
    """

    def __init__(self, ask: Callable[[Asked], None], client: str, offer: Offer, answered: Callable[[], None]) -> None:
        self._ask, self._client, self._offer, self._answered = ask, client, offer, answered
        self._run = secrets.token_hex(8)
        self._session = offer.session
        self._history: tuple[int, str] = -1, ""  # instruction id, and session that remembers its frames
        self._last: int | None = None  # instruction id of the last request
        self._other = False  # whether the server has another policy now
        self._received: dict[float, float] = {}  # by stamp of what was asked, s, time.monotonic()
        self._answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self.replaced = 0
        self.alive = True

    def defect(self) -> str:
        """Empty until the worker is closed: what is wrong with the policy, the server's answers say."""
        return "" if self.alive else "its link to the server is closed; configure the node anew"

    def submit(self, request: Request) -> None:
        """Ask for a step with these frames; the server takes the newest."""
        first, *_ = self._offer.cameras
        messages = {first: request.message, **request.extra}
        stamps = {camera: nanoseconds(message.header.stamp) for camera, message in messages.items()}
        self._received.pop(request.stamp, None)  # a clock that went back
        self._received[request.stamp] = request.received
        while len(self._received) > _WAITING:
            del self._received[next(iter(self._received))]
        number, sentence = request.instruction_id, request.instruction
        self._last = number
        self._ask(Asked(self._client, self._run, sentence, number, request.stamp, stamps))

    def discard(self) -> None:
        """Nothing: what the server still works on is for another instruction, and its answer does not count."""

    def answers(self) -> list[Answer]:
        """What has been answered since the last call, oldest first."""
        return drained(self._answers)

    def close(self, timeout: float) -> bool:
        """Take no answers any more, at once."""
        self.alive = False
        return True

    def hear(self, offer: Offer) -> bool:
        """Note what the server has now; whether it is the policy that the controller is made for."""
        self._other = replace(offer, session="", description="") != replace(self._offer, session="", description="")
        self._session = offer.session
        return not self._other

    def fail(self, reason: str) -> None:
        """The server says what cannot be understood, so that it is not known to whom: the last request has failed."""
        if self.alive and self._last is not None:
            self._answers.put(Failure(reason, self._last))
            self._answered()

    def take(self, answer: Answered) -> None:
        """Note what the server says."""
        if not self.alive or (answer.client, answer.run) != (self._client, self._run):
            return
        # Of a session that has not been heard of it is not known whether it has this policy: that is silence.
        if answer.stamp not in self._received or answer.session != self._session:
            return
        for stamp in list(self._received):  # in the order of asking
            received = self._received.pop(stamp)
            if stamp == answer.stamp:
                break
            self.replaced += 1
        self._answers.put(self._read(answer, received))
        self._answered()

    def _read(self, answer: Answered, received: float) -> Answer:
        number, session = self._history
        if self._other:
            return Failure("policy server: it has another policy now, configure this node anew", answer.instruction_id)
        if number == answer.instruction_id and session != answer.session:
            reason = "policy server: it was started anew, and has forgotten what was before"
            return Failure(reason, answer.instruction_id)
        self._history = answer.instruction_id, answer.session
        if answer.bad_frame:
            return BadFrame(answer.failure, answer.stamp, answer.camera)
        if answer.failure:
            return Failure(answer.failure, answer.instruction_id)
        if answer.dt != self._offer.dt:
            reason = f"policy server: it answers with dt {answer.dt:g} s, and has offered {self._offer.dt:g} s"
            return Failure(reason, answer.instruction_id)
        velocity, stop = np.array(answer.velocity, float).reshape(-1, 2), np.array(answer.stop, float)
        plan = ActionPlan(answer.stamp, answer.dt, velocity, stop, answer.instruction_id)
        planned = time.monotonic()  # what the network took counts as a wait for the policy, before it began
        decoded = planned - answer.planning
        return Planned(plan, received, decoded - answer.decoding, decoded, planned)


class PolicyLink:
    """The topics of a policy_server, for as long as the node lives.

    Args:
        node: whose link.
        server: name of the server's node.
        transport: raw or compressed, of the frames that the node hears.
    """

    def __init__(self, node: Node, server: str, transport: str) -> None:
        self._node, self.server, self._transport = node, server, transport
        self._offer: Offer | None = None
        self._malformed = ""  # what is wrong with the last offer; empty: nothing
        self._worker: RemoteWorker | None = None
        self._request = node.create_publisher(String, f"{server}/request", NEWEST)
        node.create_subscription(String, f"{server}/offer", self._on_offer, LATCHED)
        node.create_subscription(String, f"{server}/answer", self._on_answer, SEVERAL)

    def open(self) -> RemotePolicy:
        """Wait for the server, in another thread than the one that spins.

        Raises:
            StartError: it is not there, or hears other cameras.
        """
        end = time.monotonic() + PATIENCE
        while (offer := self._offer) is None or not self._request.get_subscription_count():
            if self._malformed:
                raise StartError(f"{self.server} cannot be used: {self._malformed}")
            if time.monotonic() > end:
                raise StartError(
                    f"no policy server answers at {self._request.topic_name.rpartition('/')[0]} within {PATIENCE:g} s: "
                    "start it (ros2 run mobile_vla_ros policy_server), in the same ROS domain"
                )
            time.sleep(_LOOK)
        topics = heard_topics(self._node, offer.cameras, self._transport)
        if topics != offer.topics:
            raise StartError(
                f"{self.server} hears the cameras {offer.topics}, and this node {topics}: remap one of them"
            )
        return RemotePolicy(self, offer)

    def connect(self, offer: Offer, answered: Callable[[], None]) -> RemoteWorker:
        """A worker for what the server offered."""
        client = self._node.get_fully_qualified_name()
        worker = RemoteWorker(lambda asked: self._request.publish(encode(asked)), client, offer, answered)
        self._worker = worker
        if self._offer is not None:
            worker.hear(self._offer)  # it may have changed meanwhile
        return worker

    def _on_offer(self, message: String) -> None:
        try:
            offer = decode(Offer, message)
        except WordsError as error:
            self._malformed = str(error)
            self._fail(error)
            return
        self._malformed = ""
        before, self._offer = self._offer, offer
        if self._worker is None or not self._worker.alive or before is None or offer.session == before.session:
            return
        if self._worker.hear(offer):
            self._node.get_logger().warning(f"{self.server} was started anew: send the instruction anew")
        else:
            self._node.get_logger().error(f"{self.server} has another policy now: configure this node anew")

    def _on_answer(self, message: String) -> None:
        try:
            answer = decode(Answered, message)
        except WordsError as error:
            self._fail(error)
            return
        if self._worker is not None:
            self._worker.take(answer)

    def _fail(self, error: WordsError) -> None:
        reason = f"policy server: malformed message: {error}"
        self._node.get_logger().error(reason, throttle_duration_sec=5.0)
        if self._worker is not None:
            self._worker.fail(reason)
