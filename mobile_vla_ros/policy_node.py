"""`policy_node`: camera frames and an instruction in words come in, velocity commands go out."""

from __future__ import annotations

import sys
import time
from dataclasses import fields
from typing import TypeGuard

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import Twist, TwistStamped
from rclpy.clock import Clock, ClockType  # type: ignore[attr-defined]  # the only place it has on Humble
from rclpy.duration import Duration
from rclpy.qos import DurabilityPolicy, QoSPolicyKind, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import String

from .control import Command, ControllerConfig, DriveController, DriveState, Limits, PolicyStepper
from .control.pace import Pace
from .diagnostics import pace_diagnostics, provenance
from .images import ImageError, check
from .inference import Answer, BadFrame, InferenceWorker, Planned, Request
from .loading import WARM_UP_INSTRUCTION, DrivingPolicy, load
from .node_process import RobotNode, StartError, refuse_second_instance, run
from .parameters import declare, refuse_unknown

NEWEST_FRAME = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
NEWEST = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
LATCHED = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
DIAGNOSTICS = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
DIAGNOSTICS_PERIOD = 1.0  # s
STATUS_PERIOD = 0.5  # s at least between two reasons of the same state
COMPLAINT_PERIOD = 5.0  # s between two log lines about the same fault of the frames
CLOSE_TIMEOUT = 1.0  # s that shutdown waits for the policy; ros2 launch waits 5 before it gets rough


class PolicyNode(RobotNode):
    """The policy on a robot.

    Callbacks only store; a worker thread runs the policy; a timer on a steady clock asks the
    `DriveController` for a command and publishes it, whatever happens elsewhere. An answer of the policy has a command
    of its own, at once; the timer's go on as if there were none.

    Args:
        policy: what steers; None: load the policy directory that the parameter `policy` names.

    Raises:
        StartError: no or a corrupt policy directory, unknown parameters, limits that are loosened, or a node
        of the
            same name.
    """

    def __init__(self, policy: DrivingPolicy | None = None) -> None:
        super().__init__("policy_node")
        created = time.monotonic()
        directory = declare(self, "policy", "", "policy directory")
        device = declare(self, "device", "cpu", "torch device that runs the policy, such as cpu or cuda")
        dtype = declare(
            self,
            "dtype",
            "auto",
            "number format of what is not quantised; auto: as the policy is stored",
            choices=("auto", "float32", "bfloat16", "float16"),
        )
        engine = declare(
            self,
            "engine",
            "torch",
            "what computes the steps; onnx: an export of the policy (mobile-vla export) in ONNX Runtime",
            choices=("torch", "torch-compile", "torch-cuda-graphs", "onnx"),
        )
        threads = declare(
            self,
            "threads",
            0,
            "that compute the policy on the CPU; 0: as many as leave a core to cameras and control",
            between=(0, 1024),
        )
        transport = declare(
            self,
            "image_transport",
            "raw",
            "raw: sensor_msgs/Image on camera/image_raw; "
            "compressed: sensor_msgs/CompressedImage on camera/image_raw/compressed",
            choices=("raw", "compressed"),
        )
        self._stamped = declare(
            self, "enable_stamped_cmd_vel", False, "publish TwistStamped instead of Twist on cmd_vel"
        )
        self._base_frame = declare(self, "base_frame", "base_link", "frame_id of a stamped cmd_vel")
        if policy is None:
            policy, description = load(directory, device, dtype, engine, threads)
            self.get_logger().info(f"policy {directory}: {description}")
        config = self._declare_controller(policy)
        self._controller = DriveController(self._declare_limits(policy), config)
        self._status: tuple[DriveState, str] | None = None
        self._status_time = 0.0
        self._complaint = ("", 0.0)  # text; s, steady
        self._pace = Pace(config.dt)
        self._pace_told = (False, 0.0)  # whether it was too slow; s, steady

        self._command_publisher = self.create_publisher(TwistStamped if self._stamped else Twist, "cmd_vel", NEWEST)
        self._status_publisher = self.create_publisher(String, "~/status", LATCHED)
        self._instruction_publisher = self.create_publisher(String, "~/active_instruction", LATCHED)
        self._diagnostics_publisher = self.create_publisher(DiagnosticArray, "/diagnostics", DIAGNOSTICS)
        self._provenance_publisher = self.create_publisher(DiagnosticArray, "~/provenance", DIAGNOSTICS)
        overridable = QoSOverridingOptions([QoSPolicyKind.RELIABILITY, QoSPolicyKind.DURABILITY])
        self.create_subscription(
            String, "instruction", self._on_instruction, NEWEST, qos_overriding_options=overridable
        )
        self.create_subscription(
            CompressedImage if transport == "compressed" else Image,
            "camera/image_raw/compressed" if transport == "compressed" else "camera/image_raw",
            self._on_image,
            NEWEST_FRAME,
            qos_overriding_options=overridable,
        )
        refuse_unknown(self)
        refuse_second_instance(self, created)
        self._worker = self._start_worker(policy, config.dt)
        self._timer = self.create_timer(
            1.0 / config.control_hz, self._on_tick, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )
        self._instruction_publisher.publish(String(data=""))

    def close(self) -> None:
        """Publish a last zero and see it delivered; end the worker."""
        self._timer.cancel()
        self._publish(Command(0.0, 0.0, DriveState.STOPPED, "shut down"))
        self._command_publisher.wait_for_all_acked(Duration(seconds=0.2))
        self._worker.close(CLOSE_TIMEOUT)

    def _start_worker(self, policy: DrivingPolicy, dt: float) -> InferenceWorker:
        """Let the policy take its first, slow step before anybody waits for it."""
        answered = self.create_guard_condition(self._on_answers)
        begin = time.monotonic()
        try:
            worker = InferenceWorker(
                PolicyStepper(policy, dt), lambda: policy.warm_up([WARM_UP_INSTRUCTION]), answered.trigger
            )
        except Exception as error:
            raise StartError(f"the policy's first step failed: {type(error).__name__}: {error}") from error
        self.get_logger().info(f"policy warmed up in {time.monotonic() - begin:.1f} s")
        return worker

    def _declare_controller(self, policy: DrivingPolicy) -> ControllerConfig:
        default = ControllerConfig(dt=policy.config.dt)
        return ControllerConfig(
            dt=policy.config.dt,
            control_hz=declare(self, "control_hz", default.control_hz, "Hz of cmd_vel", between=(10.0, 100.0)),
            camera_timeout=declare(
                self,
                "camera_timeout",
                default.camera_timeout,
                "s without a usable frame after which cmd_vel is zero",
                between=(0.05, 0.4),
            ),
            policy_timeout=declare(
                self,
                "policy_timeout",
                default.policy_timeout,
                "s that the policy may take for a frame before cmd_vel is zero; "
                "above 0.4 a policy that hangs is noticed later than 0.5 s",
                between=(0.05, 5.0),
            ),
            plan_timeout=declare(
                self,
                "plan_timeout",
                default.plan_timeout,
                "s from a frame's stamp until its plan is not followed any more",
                between=(0.1, 10.0),
            ),
            stop_threshold=declare(
                self,
                "stop_threshold",
                default.stop_threshold,
                "probability from which on the task counts as done",
                between=(0.01, 1.0),
            ),
            stop_confirmations=declare(
                self,
                "stop_confirmations",
                default.stop_confirmations,
                "plans in a row that must say that the task is done",
                between=(1, 20),
            ),
        )

    def _declare_limits(self, policy: DrivingPolicy) -> Limits:
        limits = Limits.of(policy.config.action.limits)
        wanted = {
            field.name: declare(
                self,
                f"limits.{field.name}",
                float(getattr(limits, field.name)),
                "m, s, rad; the policy's own limit unless it is tightened here",
            )
            for field in fields(limits)
        }
        try:
            return limits.tightened(wanted)
        except ValueError as error:
            raise StartError(f"parameter limits: {error}") from error

    def _now(self) -> float:
        return float(self.get_clock().now().nanoseconds) * 1e-9

    def _on_instruction(self, message: String) -> None:
        number = self._controller.set_instruction(message.data, self._now(), time.monotonic())
        self._worker.discard()
        self._pace.clear()
        self._instruction_publisher.publish(String(data=self._controller.instruction))
        self.get_logger().info(f"instruction {number}: {self._controller.instruction!r}")

    def _on_image(self, message: Image | CompressedImage) -> None:
        now, steady = self._now(), time.monotonic()
        try:
            check(message)
        except ImageError as error:
            self._controller.refuse_frame(str(error), steady)
            self._complain(str(error), steady)
            return
        stamp = message.header.stamp.sec + message.header.stamp.nanosec * 1e-9
        if self._controller.on_frame(stamp, now, steady):
            controller = self._controller
            self._worker.submit(Request(message, stamp, controller.instruction, controller.instruction_id, steady))

    def _on_tick(self) -> None:
        steady = time.monotonic()
        if not self._worker.alive:
            self._controller.policy_failed("policy: its worker has died; restart the node")
        self._drive(self._now(), steady)
        self._tell_pace(steady)

    def _on_answers(self) -> None:
        """Follow a new plan at once: until the next tick it would grow old by up to a period."""
        now, steady = self._now(), time.monotonic()
        taken = [answer for answer in self._worker.answers() if self._take(answer, now, steady)]
        stamp = self._drive(now, steady)
        for answer in taken:
            message = provenance(self.get_fully_qualified_name(), answer, now, steady, stamp)
            self._provenance_publisher.publish(message)

    def _take(self, answer: Answer, now: float, steady: float) -> TypeGuard[Planned]:
        """Whether it is a plan that is followed from now on."""
        controller = self._controller
        if isinstance(answer, Planned):
            controller.accept(answer.plan, now, steady)
            self._pace.add(answer.seconds, now - answer.plan.stamp, steady)
            if controller.refusal is None:
                return True
            self.get_logger().debug(controller.refusal)  # if it matters, the state says so too
        elif isinstance(answer, BadFrame):
            controller.refuse_frame(answer.reason, steady, answer.stamp)
            self._complain(answer.reason, steady)
        else:
            self.get_logger().error(answer.reason)
            if answer.instruction_id == controller.instruction_id:
                controller.policy_failed(answer.reason)
        return False

    def _drive(self, now: float, steady: float) -> Time:
        """Send the command of this moment; the time of sending."""
        command = self._controller.command(now, steady)
        stamp = self._publish(command)
        self._tell(command, steady)
        return stamp

    def _publish(self, command: Command) -> Time:
        """Send it; the time of sending."""
        twist = Twist()
        twist.linear.x = command.linear_x
        twist.angular.z = command.angular_z
        stamp = self.get_clock().now().to_msg()
        if not self._stamped:
            self._command_publisher.publish(twist)
            return stamp
        message = TwistStamped(twist=twist)
        message.header.stamp = stamp  # of publishing: who reads it computes ages from it
        message.header.frame_id = self._base_frame
        self._command_publisher.publish(message)
        return stamp

    def _tell(self, command: Command, steady: float) -> None:
        """Latch state and reason; log changes of state."""
        status = (command.state, command.reason)
        changed = self._status is None or self._status[0] is not command.state
        if status == self._status or not (changed or steady - self._status_time >= STATUS_PERIOD):
            return
        self._status, self._status_time = status, steady
        text = f"{command.state.value}: {command.reason}" if command.reason else command.state.value
        self._status_publisher.publish(String(data=text))
        if changed and command.state is DriveState.STOPPED:
            self.get_logger().warning(text)
        elif changed:
            self.get_logger().info(text)

    def _tell_pace(self, steady: float) -> None:
        """Publish rate and latencies once a second; log when the policy begins or ceases to be too slow."""
        slow, last = self._pace_told
        if steady - last < DIAGNOSTICS_PERIOD:
            return
        report = self._pace.report(steady)
        self._pace_told = (report is not None and report.too_slow, steady)
        stamp = self.get_clock().now().to_msg()
        self._diagnostics_publisher.publish(pace_diagnostics(self.get_fully_qualified_name(), report, stamp))
        if report is not None and report.too_slow != slow:
            # Two calls: rclpy lets each line of code log at one level only, and raises otherwise.
            if report.too_slow:
                self.get_logger().warning(f"pace: {report.text}")
            else:
                self.get_logger().info(f"pace: {report.text}")

    def _complain(self, reason: str, steady: float) -> None:
        """Log what is wrong with the frames, now and then; something new at once."""
        text, last = self._complaint
        if reason != text or steady - last >= COMPLAINT_PERIOD:
            self._complaint = (reason, steady)
            self.get_logger().error(reason)


def main() -> int:
    """Run the node; the exit code."""
    return run(PolicyNode)


if __name__ == "__main__":
    sys.exit(main())
