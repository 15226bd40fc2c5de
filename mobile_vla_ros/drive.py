"""What policy_node does while it drives: messages into the controller, its commands out."""

from __future__ import annotations

import time
from typing import TypeGuard

from builtin_interfaces.msg import Time
from nav_msgs.msg import Odometry
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import String

from .control import Command, DriveController, DriveState
from .control.pace import Pace
from .diagnostics import Counts, control_status, gathered, machine_status, pace_status, provenance
from .images import ImageError, check, digest
from .inference import Answer, BadFrame, InferenceWorker, Planned, Request
from .topics import Publishers

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

    Attributes:
        controller, dt: the same.
    """

    def __init__(
        self,
        node: Node,
        publishers: Publishers,
        controller: DriveController,
        worker: InferenceWorker,
        dt: float,
        identity: str,
    ) -> None:
        self.controller, self.dt = controller, dt
        self._node, self._publishers, self._worker, self._identity = node, publishers, worker, identity
        self._pace = Pace(dt)
        self._slow = False  # whether the policy was too slow when its pace was last known
        self.begin()

    def begin(self) -> None:
        """Forget everything of an activation before."""
        self._status: tuple[DriveState, str] | None = None
        self._status_time = 0.0
        self._followed: str | None = None  # what was published as the active instruction
        self._complaint = ""
        self._received = self._refused = 0
        self._replaced_before = self._worker.replaced
        self._pace.clear()

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

    def on_instruction(self, message: String) -> None:
        """Follow another sentence."""
        number = self.controller.set_instruction(message.data, self._now(), time.monotonic())
        self._worker.discard()
        self._pace.clear()
        self._followed = None  # the same words are another instruction
        self._node.get_logger().info(f"instruction {number}: {self.controller.instruction!r}")
        self.tick()

    def on_odometry(self, _: Odometry) -> None:
        """Odometry is alive."""
        self.controller.on_odometry(time.monotonic())

    def on_image(self, message: Image | CompressedImage) -> None:
        """Hand a frame to the policy if it is the one that is due."""
        now, steady = self._now(), time.monotonic()
        self._received += 1
        try:
            check(message)
        except ImageError as error:
            self._refuse(str(error), steady)
            return
        stamp = message.header.stamp.sec + message.header.stamp.nanosec * 1e-9
        controller = self.controller
        if controller.on_frame(stamp, now, steady, digest(message)):
            self._worker.submit(Request(message, stamp, controller.instruction, controller.instruction_id, steady))
        elif controller.bad_frame:
            self._refused += 1

    def tick(self) -> None:
        """Send the command of this moment."""
        if not self._worker.alive:
            self.controller.policy_failed("policy: its worker has died; restart the node")
        self._send(self._now(), time.monotonic())

    def on_answers(self) -> None:
        """Follow a new plan at once: until the next tick it would grow old by up to a period."""
        now, steady = self._now(), time.monotonic()
        taken = [answer for answer in self._worker.answers() if self._take(answer, now, steady)]
        stamp = self._send(now, steady)
        name, instruction = self._node.get_fully_qualified_name(), self.controller.instruction
        for answer in taken:
            self._publishers.provenance(provenance(name, answer, instruction, self._identity, now, steady, stamp))

    def diagnose(self) -> None:
        """Publish what there is to know; log when the policy begins or ceases to be too slow."""
        steady, name = time.monotonic(), self._node.get_fully_qualified_name()
        report = self._pace.report(steady)
        counts = Counts(self._received, self._refused, self._worker.replaced - self._replaced_before)
        state, reason = self._status or (DriveState.DISARMED, "")
        self._publishers.diagnostics(
            gathered(
                self._node.get_clock().now().to_msg(),
                control_status(name, self.controller, state, _text(state, reason), steady, counts),
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
                return True
            self._node.get_logger().debug(controller.refusal)  # if it matters, the state says so too
        elif isinstance(answer, BadFrame):
            self._refuse(answer.reason, steady, answer.stamp)
        else:
            self._node.get_logger().error(answer.reason)
            if answer.instruction_id == controller.instruction_id:
                controller.policy_failed(answer.reason)
        return False

    def _refuse(self, reason: str, steady: float, stamp: float | None = None) -> None:
        """A frame cannot be used; log it, unless it is what was wrong with the last such frame."""
        self._refused += 1
        self.controller.refuse_frame(reason, steady, stamp)
        if reason != self._complaint:
            self._complaint = reason
            self._node.get_logger().error(reason)

    def _send(self, now: float, steady: float) -> Time:
        """Send the command of this moment; the time of sending."""
        command = self.controller.command(now, steady)
        stamp = self._publishers.command(command)
        self._tell(command, steady)
        return stamp

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
