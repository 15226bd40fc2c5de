"""What policy_node does while it drives: messages into the controller, its commands out."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import TypeGuard

from builtin_interfaces.msg import Time
from nav_msgs.msg import Odometry
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import String

from ..control import ActionPlan, Command, DriveController, DriveState, StampedPose
from ..control.endpoints import SubscriberWatch
from ..control.pace import Pace
from ..control.rhythm import Rhythm
from ..control.sets import FrameSets
from ..images import ImageError, ImageRules, check, digest
from ..inference.loading import Worker
from ..inference.worker import Answer, BadFrame, Planned, Request
from ..overlay import LiveOverlay, Moment
from ..stamps import seconds
from .diagnostics import Counts, control_status, gathered, machine_status, pace_status, provenance
from .topics import Publishers

HELD_UP = 0.05  # s between a command's moment and its sending after which it is decided anew
REPEATED_PERIOD = 10.0  # s at least between two lines of the log about an instruction that is repeated
STATUS_PERIOD = 0.5  # s at least between two reasons of the same state


class Drive:
    """The controller between the node's topics and its policy; one thread at a time may call it.

    Callbacks only store; a worker thread runs the policy; each tick asks the `DriveController` for a command and
    publishes it, whatever happens elsewhere. An answer of the policy has a command of its own, at once; the ticks go on
    as if there were none.

    Args:
        node: for clock and log.
        publishers: its topics.
        controller: that decides.
        worker: that runs the policy.
        dt: s, the policy's recurrent step.
        identity: of the policy; empty: not known.
        cameras: names of those that the policy looks through, its first one first.
        tolerance: s that the stamps of frames of several cameras may differ by.
        rules: What the cameras' frames may be.
        overlay: that draws what is done.
        stopped: is called when a fault or an emergency stop begins to hold the robot, with the reason, and whether it
            is an emergency stop.

    Attributes:
        controller, dt: the same.
    """

    def __init__(
        self,
        node: Node,
        publishers: Publishers,
        controller: DriveController,
        worker: Worker,
        dt: float,
        identity: str,
        cameras: Sequence[str],
        tolerance: float,
        rules: ImageRules,
        overlay: LiveOverlay,
        stopped: Callable[[str, bool], None],
    ) -> None:
        self.controller, self.dt = controller, dt
        self._node, self._publishers, self._worker, self._identity = node, publishers, worker, identity
        self._overlay, self._stopped = overlay, stopped
        self._cameras, self._rules = tuple(cameras), rules
        self._sets: FrameSets[Image | CompressedImage] = FrameSets(cameras, tolerance)
        self._pace = Pace(dt)
        self._rhythm = Rhythm()
        self._slow = False  # whether the policy was too slow when its pace was last known
        self.begin()

    def begin(self) -> None:
        """Forget everything of an activation before."""
        self._status: tuple[DriveState, str] | None = None
        self._status_time = 0.0
        self._held = ""  # what holds the robot since then: "fault" or "emergency stop"; empty: nothing
        self._followed: str | None = None  # what was published as the active instruction
        self._complaint = ""
        self._received = self._refused = 0
        self._replaced_before = self._worker.replaced
        self._sets.clear()
        self._seen: Image | CompressedImage | None = None  # the first camera's last frame that can be a picture
        self._plan: ActionPlan | None = None  # the last one that was followed
        self._stop: float | None = None  # probability that the task is done, as that plan said
        self._pace.clear()
        self._rhythm.clear()

    def end(self, reason: str) -> None:
        """Stand at once, disarmed and without an instruction, and see the zero delivered."""
        # First of all, and not asked of the controller: that may be what is broken.
        self._publishers.command(Command(0.0, 0.0, DriveState.DISARMED, reason))
        self._publishers.wait_for_command()
        self.controller.rest(reason)
        self._worker.discard()
        self._publishers.instruction("")

    def arm(self) -> str | None:
        """Allow motion; the reason if that is refused, else None."""
        return self.controller.arm(self._now(), time.monotonic())

    def stop(self) -> None:
        """The emergency stop has been latched."""
        self.controller.withdraw()
        self._worker.discard()
        self.tick()

    def disarm_at_once(self, reason: str) -> None:
        """Stand at once, disarmed; the instruction stays."""
        self.controller.disarm(reason, at_once=True)
        self._worker.discard()
        self.tick()

    def on_instruction(self, message: String) -> None:
        """Follow another sentence, or none; one that is repeated changes nothing."""
        before = self.controller.instruction_id
        number = self.controller.set_instruction(message.data, time.monotonic())
        if number == before:
            text = f"instruction {number} again: no new task, publish it once"
            self._node.get_logger().info(text, throttle_duration_sec=REPEATED_PERIOD)
            return
        self._worker.discard()
        self._pace.clear()
        self._followed = None  # the same words may be another instruction
        self._plan = self._stop = None
        self._node.get_logger().info(f"instruction {number}: {self.controller.instruction!r}")
        self.tick()

    def on_odometry(self, message: Odometry) -> None:
        """Odometry is alive, and has the robot here."""
        position, q = message.pose.pose.position, message.pose.pose.orientation
        yaw = math.atan2(2.0 * (q.w * q.z + q.x * q.y), 1.0 - 2.0 * (q.y * q.y + q.z * q.z))  # ** raises beyond 1e154
        pose = StampedPose(seconds(message.header.stamp), position.x, position.y, yaw)
        self.controller.on_odometry(time.monotonic(), pose)

    def on_image(self, camera: str, message: Image | CompressedImage) -> None:
        """Hand a frame to the policy, with those of the other cameras, if it is the one that is due."""
        now, steady = self._now(), time.monotonic()
        self._received += 1
        try:
            check(message, self._rules)
        except ImageError as error:
            self._refuse(camera, str(error), steady)
            return
        if camera == self._cameras[0]:
            self._seen = message
        stamp = seconds(message.header.stamp)
        controller = self.controller
        if not controller.see(camera, stamp, now, steady, digest(message)):
            self._refused += 1
            return
        found = self._sets.add(camera, stamp, message)
        if found is None or not controller.step_due(found.stamp, steady):
            return
        frames = dict(found.frames)
        first = frames.pop(self._cameras[0])
        self._worker.submit(
            Request(first, found.stamp, controller.instruction, controller.instruction_id, steady, frames, self._rules)
        )

    def tick(self) -> None:
        """Send the command of this moment."""
        defect = self._worker.defect()
        if defect:
            self.controller.policy_failed(f"policy: {defect}")
        now, steady = self._now(), time.monotonic()
        self._rhythm.tick(steady)
        self._send(now, steady)

    def on_answers(self) -> None:
        """Follow a new plan at once: until the next tick it would grow old by up to a period."""
        now, steady = self._now(), time.monotonic()
        taken = [answer for answer in self._worker.answers() if self._take(answer, now, steady)]
        stamp = self._send(now, steady)
        name, instruction = self._node.get_fully_qualified_name(), self.controller.instruction
        for answer in taken:
            self._publishers.provenance(provenance(name, answer, instruction, self._identity, now, steady, stamp))

    def diagnose(self, subscribers: SubscriberWatch | None = None) -> None:
        """Publish what there is to know; log when the policy begins or ceases to be too slow."""
        steady, name = time.monotonic(), self._node.get_fully_qualified_name()
        report = self._pace.report(steady)
        counts = Counts(self._received, self._refused, self._worker.replaced - self._replaced_before)
        state, reason = self._status or (DriveState.DISARMED, "")
        text, rhythm = _text(state, reason), self._rhythm.report()
        self._publishers.diagnostics(
            gathered(
                self._node.get_clock().now().to_msg(),
                control_status(name, self.controller, state, text, steady, counts, rhythm, subscribers),
                pace_status(name, report, self._identity),
                machine_status(name),
            )
        )
        if report is not None and report.too_slow != self._slow:
            self._slow = report.too_slow
            # Two calls: rclpy lets each line of code log at one level only, and raises otherwise.
            if self._slow:
                self._node.get_logger().warning(f"pace: {report.text}")
            else:
                self._node.get_logger().info(f"pace: {report.text}")

    def _now(self) -> float:
        return float(self._node.get_clock().now().nanoseconds) * 1e-9

    def _take(self, answer: Answer, now: float, steady: float) -> TypeGuard[Planned]:
        """Whether it is a plan that is followed from now on."""
        controller = self.controller
        if isinstance(answer, Planned):
            controller.accept(answer.plan, now, steady)
            self._pace.add(answer.seconds, now - answer.plan.stamp, steady)
            if controller.refusal is None:
                self._plan, self._stop = answer.plan, answer.plan.stop_at(now)
                return True
            self._node.get_logger().debug(controller.refusal)  # if it matters, the state says so too
        elif isinstance(answer, BadFrame):
            self._refuse(answer.camera or self._cameras[0], answer.reason, steady, answer.stamp)
        else:
            self._node.get_logger().error(answer.reason)
            if answer.instruction_id == controller.instruction_id:
                controller.policy_failed(answer.reason)
            else:
                controller.failed_before(steady)
        return False

    def _refuse(self, camera: str, reason: str, steady: float, stamp: float | None = None) -> None:
        """A frame cannot be used; log it, unless it is what was wrong with the last such frame."""
        reason = f"camera {camera}: {reason}" if len(self._cameras) > 1 else reason
        self._refused += 1
        self.controller.refuse_frame(reason, steady, stamp)
        if reason != self._complaint:
            self._complaint = reason
            self._node.get_logger().error(reason)

    def _send(self, now: float, steady: float) -> Time:
        """Send the command of this moment; the time of sending."""
        command = self.controller.command(now, steady)
        if time.monotonic() - steady > HELD_UP:  # an old velocity must not leave late, as if it were of now
            now, steady = self._now(), time.monotonic()
            command = self.controller.command(now, steady)
        stamp = self._publishers.command(command)
        self._tell(command, steady)
        self._note_stop(command)
        self._show(command, now)
        return stamp

    def _note_stop(self, command: Command) -> None:
        """Call `stopped` where the command begins to be zero for a fault, or for an emergency stop, be it after one."""
        held = ""
        if command.state is DriveState.STOPPED:
            held = "emergency stop" if self.controller.arming.latched else "fault"
        if held not in ("", self._held):
            self._stopped(command.reason, held == "emergency stop")
        self._held = held

    def _show(self, command: Command, now: float) -> None:
        """Have it drawn, if anybody looks; also into an old picture, so that a silent camera is seen to be silent."""
        if self._seen is None or not self._publishers.overlay_wanted:
            return
        follows = command.state is DriveState.DRIVING and not command.reason
        plan = self._plan if follows else None
        self._overlay.show(Moment(self._seen, command, self.controller.instruction, plan, now, self._stop))

    def _tell(self, command: Command, steady: float) -> None:
        """Latch instruction, state and reason; log changes of state."""
        if self.controller.instruction != self._followed:
            self._followed = self.controller.instruction
            self._publishers.instruction(self._followed)
        status = (command.state, command.reason)
        changed = self._status is None or self._status[0] is not command.state
        if status == self._status or not (changed or steady - self._status_time >= STATUS_PERIOD):
            return
        self._status, self._status_time = status, steady
        text = _text(command.state, command.reason)
        self._publishers.status(text)
        if changed and command.state is DriveState.STOPPED:
            self._node.get_logger().warning(text)
        elif changed:
            self._node.get_logger().info(text)


def _text(state: DriveState, reason: str) -> str:
    return f"{state.value}: {reason}" if reason else state.value
