"""`policy_server`: runs a policy for a policy_node on another machine; it moves nothing."""

from __future__ import annotations

import math
import secrets
import sys
import time
from collections.abc import Callable
from copy import copy
from dataclasses import asdict, replace
from functools import partial

from rclpy.clock import Clock, ClockType  # type: ignore[attr-defined]  # the only place it has on Humble
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import String

from mobile_vla_models.sentence import normalize_instruction

from ..camera_topics import camera_topics, heard_topics
from ..control import ActionRange, Limits
from ..images import camera_messages
from ..inference.loading import Loaded, declare_policy, load
from ..inference.worker import Answer, Failure, Planned, Request
from ..parameters import QOS, declare, declare_images, refuse_unknown
from ..qos import LATCHED, OVERRIDABLE, SEVERAL
from ..robot_node import RobotNode, StartError, run
from ..stamps import nanoseconds
from .words import AXES, MOST_TEXT, Answered, Asked, Offer, WordsError, decode, encode

# Every frame, for any may be asked for.
FRAMES = QoSProfile(depth=30, reliability=ReliabilityPolicy.BEST_EFFORT)
FRAME_TIMEOUT = 1.0  # s without a frame that was asked for, after which the node is told
KEPT = 60  # frames of each camera: two seconds at 30 Hz, in which the node's request for one must come
CLIENT_TIMEOUT = 5.0  # s without a request after which another node may ask
CHECK_PERIOD = 0.2  # s between two looks at whether the policy can still be used
CLOSE_TIMEOUT = 1.0  # s for the policy to come out of a step


class PolicyServer(RobotNode):
    """Hears the robot's cameras, and answers requests of one node at a time.

    Args:
        open_policy: what steers; None: load the directory that the parameter `policy` names.

    Raises:
        StartError: wrong parameters, or a policy that cannot be loaded.
    """

    def __init__(self, open_policy: Callable[[], Loaded] | None = None) -> None:
        super().__init__("policy_server")
        created = time.monotonic()
        source = declare_policy(self)
        transport = declare(
            self,
            "image_transport",
            "compressed",
            "of the frames that come here; compressed: CompressedImage on the camera topics' /compressed",
            choices=("raw", "compressed"),
        )
        self._images = declare_images(self)
        refuse_unknown(self, later=(QOS,))
        self.claim_name()
        self._session = secrets.token_hex(8)
        loaded = open_policy() if open_policy is not None else load(source, self._log)
        self._loaded = loaded
        self.refuse_second_instance(created)
        answered = self.create_guard_condition(self._publish_answers)
        self._worker = loaded.connect(answered.trigger)
        self._cameras = loaded.config.cameras
        self._range = ActionRange.of(loaded.config.action.continuous)
        self._frames: dict[str, dict[int, Image | CompressedImage]] = {camera: {} for camera in self._cameras}
        # Whose frames have not all come, and since when that is so: s, time.monotonic().
        self._pending: tuple[Asked, float] | None = None
        self._asked: dict[float, Asked] = {}  # by stamp, what the policy has got under this instruction
        self._client = ""
        self._run: tuple[str, str, int] = "", "", -1  # client, its run and its instruction
        self._run_id = 0
        self._served = -math.inf  # s, time.monotonic() when the policy last got frames
        self._offer = self.create_publisher(String, "~/offer", LATCHED)
        self._answer = self.create_publisher(String, "~/answer", SEVERAL)
        self.create_subscription(String, "~/request", self._on_request, SEVERAL)  # another node must not take its place
        kind, end = camera_messages(transport)
        for camera, topic in zip(self._cameras, camera_topics(self._cameras), strict=True):
            # rclpy writes overrides into the profile that it is given.
            self.create_subscription(
                kind, f"{topic}{end}", partial(self._on_image, camera), copy(FRAMES), qos_overriding_options=OVERRIDABLE
            )
        refuse_unknown(self)
        self.create_timer(CHECK_PERIOD, self._check_policy, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._topics = heard_topics(self, self._cameras, transport)
        offer = self._make_offer()
        if offer.defect:
            raise StartError(f"the policy cannot be offered: {offer.defect}")
        self._offer.publish(encode(offer))
        self.get_logger().info(f"serves: {loaded.description}")

    def close(self) -> bool:
        """End the worker."""
        return self._worker.close(CLOSE_TIMEOUT)

    def _check_policy(self) -> None:
        """Notice without a request that the policy cannot be used any more: a writer to its files waits for that."""
        defect = self._worker.defect()
        if defect:
            self.get_logger().error(f"policy: {defect}", throttle_duration_sec=5.0)

    def _log(self, doing: str) -> None:
        self.get_logger().info(doing)

    def _make_offer(self) -> Offer:
        config, loaded = self._loaded.config, self._loaded
        ends = zip(self._range.minimum, self._range.maximum, strict=True)
        ranges = dict(zip(AXES, ends, strict=True))
        limits = asdict(Limits.of(config.action.limits))
        return Offer(
            self._session, loaded.identity, loaded.description, config.dt, self._cameras, self._topics, limits, ranges
        )

    def _on_request(self, message: String) -> None:
        now = time.monotonic()
        try:
            asked = decode(Asked, message)
        except WordsError as error:
            self.get_logger().error(f"a node of another version asks: {error}", throttle_duration_sec=5.0)
            return
        if not self._worker.alive:
            self.get_logger().fatal("the policy's thread has died")
            self.failed = True
            return
        defect = self._worker.defect()
        if defect:
            self._refuse(asked, f"policy server: {defect}")
            return
        if asked.client != self._client and now - self._served < CLIENT_TIMEOUT:
            self._refuse(asked, f"policy server: it serves {self._client}")
            return
        if set(asked.frames) != set(self._cameras):
            self._refuse(asked, f"policy server: cameras {sorted(asked.frames)}, expected {sorted(self._cameras)}")
            return
        waits = self._pending
        self._pending = asked, now if waits is None else waits[1]
        self._submit_pending()
        if self._pending is not None and now - self._pending[1] > FRAME_TIMEOUT:
            kept = ", ".join(f"{len(frames)} of {self._topics[camera]}" for camera, frames in self._frames.items())
            self._refuse(asked, f"policy server: it does not get the frames; it has {kept}", bad_frame=True)

    def _on_image(self, camera: str, message: Image | CompressedImage) -> None:
        frames, stamp = self._frames[camera], nanoseconds(message.header.stamp)
        if frames and stamp <= next(reversed(frames)):
            frames.clear()  # the clock went back: a frame of before must not pass for one of now
        frames[stamp] = message
        while len(frames) > KEPT:
            del frames[next(iter(frames))]
        self._submit_pending()

    def _submit_pending(self) -> None:
        """Hand a request to the policy when its frames are here; a newer one replaces one that waits."""
        if self._pending is None:
            return
        asked, received = self._pending
        found = {camera: self._frames[camera].get(stamp) for camera, stamp in asked.frames.items()}
        frames = {camera: frame for camera, frame in found.items() if frame is not None}
        if len(frames) < len(found):
            return
        self._pending = None
        self._client, self._served = asked.client, time.monotonic()
        run = asked.client, asked.run, asked.instruction_id
        if run != self._run or asked.stamp in self._asked:
            self._run = run
            self._run_id += 1
            self._asked.clear()
        self._asked[asked.stamp] = asked
        while len(self._asked) > KEPT:
            del self._asked[next(iter(self._asked))]
        first = frames.pop(self._cameras[0])
        sentence = normalize_instruction(asked.instruction)
        self._worker.submit(Request(first, asked.stamp, sentence, self._run_id, received, frames, self._images))

    def _publish_answers(self) -> None:
        for answer in self._worker.answers():
            self._publish(answer)

    def _publish(self, answer: Answer) -> None:
        if isinstance(answer, Failure):
            if answer.instruction_id == self._run_id and self._asked:
                self._refuse(next(reversed(self._asked.values())), answer.reason)
            return
        stamp = answer.plan.stamp if isinstance(answer, Planned) else answer.stamp
        asked = self._asked.get(stamp)
        if asked is None or (isinstance(answer, Planned) and answer.plan.instruction_id != self._run_id):
            return
        defect = answer.plan.defect(self._range) if isinstance(answer, Planned) else None
        if defect is not None:
            self._refuse(asked, f"policy: {defect}")
            return
        words = self._answer_to(asked)
        if isinstance(answer, Planned):
            words = replace(
                words,
                dt=answer.plan.dt,
                velocity=tuple((float(v), float(w)) for v, w in answer.plan.velocity),
                stop=tuple(map(float, answer.plan.stop)),
                decoding=answer.decoded - answer.begun,
                planning=answer.planned - answer.decoded,
            )
        else:
            words = replace(words, failure=answer.reason[:MOST_TEXT], bad_frame=True, camera=answer.camera)
        self._answer.publish(encode(words))

    def _answer_to(self, asked: Asked) -> Answered:
        return Answered(asked.client, asked.run, asked.instruction_id, asked.stamp, self._session)

    def _refuse(self, asked: Asked, reason: str, bad_frame: bool = False) -> None:
        self.get_logger().error(f"{reason} (asked by {asked.client})", throttle_duration_sec=5.0)
        self._answer.publish(encode(replace(self._answer_to(asked), failure=reason[:MOST_TEXT], bad_frame=bad_frame)))


def main() -> int:
    """Run the node; the exit code."""
    return run(PolicyServer)


if __name__ == "__main__":
    sys.exit(main())
