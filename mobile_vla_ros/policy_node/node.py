"""`policy_node`: camera frames and an instruction in words come in, velocity commands go out."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType  # type: ignore[attr-defined]  # the only place it has on Humble
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleNodeMixin, LifecycleState
from rclpy.lifecycle.node import TransitionCallbackReturn
from rclpy.timer import Timer
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Bool
from std_srvs.srv import Trigger

from ..control import ActionRange, Arming, DriveController, Limits
from ..control.endpoints import SubscriberWatch
from ..inference.loading import Opened, Worker, give_back_memory, load
from ..overlay import LiveOverlay
from ..parameters import refuse_unknown
from ..remote.client import PolicyLink
from ..robot_node import RobotNode, StartError, run
from .diagnostics import gathered, lifecycle_status, machine_status
from .drive import Drive
from .settings import Settings
from .topics import Publishers, Subscriptions, find_subscribers

if TYPE_CHECKING:
    from ..black_box import BlackBox

SUCCESS, FAILURE, ERROR = (
    TransitionCallbackReturn.SUCCESS,
    TransitionCallbackReturn.FAILURE,
    TransitionCallbackReturn.ERROR,
)
STEADY = Clock(clock_type=ClockType.STEADY_TIME)
DIAGNOSTICS_PERIOD = 1.0  # s
LOOK_PERIOD = 0.2  # s between two looks at who subscribes to the commands
CLOSE_TIMEOUT = 1.0  # s that shutdown waits for each thread; ros2 launch waits 5 for all before it gets rough
WRITE_TIMEOUT = 2.0  # s that it waits for the black box


class PolicyNode(LifecycleNodeMixin, RobotNode):
    """The policy on a robot, as a managed node.

    configure loads the policy and takes its first step, in a thread of its own, so that everything else is served
    meanwhile; activate starts the timer of control, disarmed; deactivate sends a zero, then nothing; cleanup frees the
    policy. All other callbacks run one after the other in the thread that spins, and `_lock` keeps transitions out of
    them.

    Args:
        open_policy: what steers, opened at each configure; None: load the directory that the parameter `policy` names.

    Raises:
        StartError: unknown parameters, or some that do not go together.
    """

    def __init__(self, open_policy: Callable[[], Opened] | None = None) -> None:
        RobotNode.__init__(self, "policy_node")
        self.slow = ReentrantCallbackGroup()  # reentrant: get_state is answered while configure is under way
        LifecycleNodeMixin.__init__(self, callback_group=self.slow)
        self._created = time.monotonic()
        self._closing = False
        self._lock = threading.RLock()
        self._drive: Drive | None = None  # from configure to cleanup
        self._worker: Worker | None = None
        self._overlay: LiveOverlay | None = None
        self._black_box: BlackBox | None = None
        self._timer: Timer | None = None  # while active
        self._doing, self._reason = "unconfigured", ""  # state for people, and why the last transition failed
        self._settings = Settings(self, lambda: self._drive is not None and self._drive.controller.may_move)
        self._arming = Arming(self._settings.emergency_stop_timeout)
        self._link = self._make_link()
        self._open = open_policy or self._load
        self._out = Publishers(self, self._settings.stamped, self._settings.base_frame, self._record)
        self._subscribers = SubscriberWatch((self._out.command_topic, *self._settings.command_topics))
        self._arms_by_itself = False  # as soon as somebody subscribes to the commands
        self._in = Subscriptions(
            self,
            self._settings.odometry_timeout > 0.0,
            self._record,
            on_instruction=lambda message: self._while_active(lambda drive: drive.on_instruction(message)),
            on_emergency_stop=self._on_emergency_stop,
            on_odometry=lambda message: self._while_active(lambda drive: drive.on_odometry(message)),
        )
        self._offer("arm", self._arm)
        self._offer("disarm", self._disarm)
        self._offer("stop", self._stop)
        self._offer("reset", self._arming.reset)
        self._settings.refuse_unknown()
        self._answered = self.create_guard_condition(lambda: self._while_active(Drive.on_answers))
        self.create_timer(DIAGNOSTICS_PERIOD, self._diagnose, clock=STEADY)
        self.create_timer(LOOK_PERIOD, lambda: self._while_active(self._look), clock=STEADY)
        self._out.instruction("")
        self._say("unconfigured")
        self._autostart = threading.Thread(target=self._bring_up, name="autostart", daemon=True)
        if self._settings.autostart:
            self._autostart.start()

    def _offer(self, name: str, action: Callable[[], str | None]) -> None:
        """A Trigger service; its message is the reason if the action is refused."""

        def answer(_: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
            response.message = action() or ""
            response.success = not response.message
            return response

        self.create_service(Trigger, f"~/{name}", answer)

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the policy and take its first step; FAILURE, with the reason in the log, if that does not work."""
        return self._attempt("configure", self._configure, otherwise=FAILURE)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Begin to publish commands: zero, until the robot is armed."""
        return self._attempt("activate", lambda: self._activate(state), otherwise=ERROR)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """A last zero, delivered, then silence."""
        return self._attempt("deactivate", lambda: self._deactivate(state), otherwise=ERROR)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the policy."""
        return self._attempt("clean up", lambda: self._free("unconfigured"), otherwise=ERROR)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """As deactivate and cleanup."""
        return self._attempt("shut down", lambda: self._free("finalized"), otherwise=ERROR)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """As deactivate and cleanup: it may be configured anew."""
        return self._attempt("recover", lambda: self._free("unconfigured"), otherwise=FAILURE)

    def close(self) -> bool:
        """A last zero, delivered; then end the worker. A transition that is under way is left alone."""
        self._closing = True
        return self._free("shut down") and not self._autostart.is_alive()

    def destroy_node(self) -> None:
        """Give up everything that it has of the graph; rclpy forgets its lifecycle, which would keep the node in it."""
        super().destroy_node()
        self._state_machine.destroy_when_not_in_use()

    def _LifecycleNodeMixin__change_state(self, transition: int) -> TransitionCallbackReturn:  # noqa: N802
        """Refuse a transition out of turn. Before Kilted, rclpy lets it end the node; no public place catches it."""
        try:
            return super()._LifecycleNodeMixin__change_state(transition)  # type: ignore[misc,no-any-return]
        except rclpy_implementation.RCLError as error:
            self.get_logger().error(f"transition {transition} is refused: {error}")
            return ERROR

    def _bring_up(self) -> None:
        """Autostart; what went wrong has been logged."""
        if self.trigger_configure() is not SUCCESS or self.trigger_activate() is not SUCCESS:
            self.failed = True

    def _attempt(
        self, what: str, action: Callable[[], object], otherwise: TransitionCallbackReturn
    ) -> TransitionCallbackReturn:
        """Do it. Nothing that is raised may leave: rclpy would swallow it."""
        try:
            action()
            return SUCCESS
        except StartError as error:
            reason = f"cannot {what}: {error}"
        except BaseException as error:  # noqa: BLE001  (a library may want to exit; it is said, and the robot stands)
            reason = f"cannot {what}: {type(error).__name__}: {error}\n{traceback.format_exc()}"
        if not self._closing:
            self._reason = reason.splitlines()[0]
            self.get_logger().error(reason)
            self._out.status(self._described)
        return otherwise

    def _configure(self) -> None:
        self._reason = ""
        self._say("configuring")
        try:
            self.claim_name()
            opened = self._open()
            config, cameras = opened.config, opened.config.cameras
            self._say("configuring: taking a first step")
            begin = time.monotonic()
            self._worker = opened.connect(self._answered.trigger)
            self.get_logger().info(f"policy ready after {time.monotonic() - begin:.1f} s")
            with self._lock:
                self._in.open_cameras(cameras, self._settings.image_transport, self._on_image)
            self.refuse_second_instance(self._created)
            self._black_box = self._open_black_box()
            with self._lock:
                self._settings.declare_limits(Limits.of(config.action.limits))
                controller = DriveController(
                    *self._settings.motion(config.dt),
                    ActionRange.of(config.action.continuous),
                    self._arming,
                    cameras,
                    self._settings.stop_sentences,
                    self._settings.braking,
                )
                refuse_unknown(self)
                self._overlay = LiveOverlay(
                    self._settings.camera,
                    self._settings.robot_width,
                    self._settings.images,
                    self._out.overlay,
                    self._on_overlay_failure,
                )
                self._drive = Drive(
                    self,
                    self._out,
                    controller,
                    self._worker,
                    config.dt,
                    opened.identity,
                    cameras,
                    self._settings.camera_tolerance,
                    self._settings.images,
                    self._overlay,
                    self._trip,
                )
        except BaseException:
            self._free("unconfigured")
            raise
        self._say("inactive")

    def _make_link(self) -> PolicyLink | None:
        settings = self._settings
        return PolicyLink(self, settings.policy_server, settings.image_transport) if settings.policy_server else None

    def _load(self) -> Opened:
        settings = self._settings
        if self._link is not None:
            self._say(f"configuring: waiting for {self._link.server}")
            remote = self._link.open()
            self.get_logger().info(f"policy {remote.description}")
            return remote
        loaded = load(settings.policy, lambda doing: self._say(f"configuring: {doing}"))
        self.get_logger().info(f"policy {settings.policy.directory}: {loaded.description}")
        return loaded

    def _activate(self, state: LifecycleState) -> None:
        self._reason = ""
        with self._lock:
            drive = self._drive
            if drive is None:
                raise RuntimeError("there is no policy")
            super().on_activate(state)
            self._arming.disarm("not armed yet")  # it is; but the reason may be one of before
            drive.begin()
            self._doing = "active"
            self._timer = self.create_timer(
                1.0 / self._settings.control_hz, lambda: self._while_active(Drive.tick), clock=STEADY
            )
            if self._settings.arm_on_activate:
                self._arm_by_itself()
            drive.tick()

    def _deactivate(self, state: LifecycleState) -> None:
        with self._lock:
            self._halt("deactivated")  # before super(): a managed publisher that is not active drops what it is given
            super().on_deactivate(state)
        self._say("inactive")

    def _halt(self, reason: str) -> None:
        """End what an activation began; the last command is zero, and has arrived."""
        self._arming.disarm(reason)  # first, for it cannot fail: whatever else does, the next activation is disarmed
        self._arms_by_itself = False
        timer, self._timer = self._timer, None
        if timer is not None and self._drive is not None:
            try:
                self._drive.end(reason)
            finally:
                self.destroy_timer(timer)

    def _free(self, state: str) -> bool:
        """Halt, and give the policy up, also where a last zero cannot be sent; whether all threads have ended."""
        try:
            with self._lock:
                self._halt(state)
        finally:
            ended = self._give_up_policy()
        self._say(state)
        return ended

    def _give_up_policy(self) -> bool:
        """End what a configuration began; whether all threads have ended."""
        with self._lock:
            self._in.close_cameras()
            worker, self._worker, self._drive = self._worker, None, None
            overlay, self._overlay = self._overlay, None
            black_box, self._black_box = self._black_box, None
        ended = overlay is None or overlay.close(CLOSE_TIMEOUT)
        if black_box is not None:
            ended &= black_box.close(WRITE_TIMEOUT)
        if worker is not None:
            ended &= worker.close(CLOSE_TIMEOUT)
            del worker  # the last that has the policy
            if not self._closing:
                give_back_memory()
        return ended

    def _on_overlay_failure(self, reason: str) -> None:
        self.get_logger().error(f"~/overlay cannot be drawn (said once): {reason}")

    def _open_black_box(self) -> BlackBox | None:
        """The recorder of everything that is heard and said; None: it is not wanted."""
        settings = self._settings
        if not settings.black_box_folder:
            return None
        try:
            from ..black_box.of_node import open_black_box  # takes seconds, and libraries that nothing else here needs
        except ImportError as error:
            raise StartError(f"black_box_folder needs the Python package {error.name}: it is not installed") from error
        return open_black_box(
            self,
            settings.black_box_folder,
            settings.black_box_seconds,
            settings.black_box_megabytes,
            (*self._in.channels, *self._out.channels),
        )

    def _record(self, topic: str, message: Any) -> None:
        """Keep what was heard or said."""
        black_box = self._black_box
        if black_box is not None:
            black_box.add(topic, message, self.get_clock().now().nanoseconds)

    def _trip(self, reason: str, by_a_person: bool) -> None:
        black_box = self._black_box
        if black_box is not None:
            black_box.trip(reason, urgent=by_a_person)

    def _on_image(self, camera: str, message: Image | CompressedImage) -> None:
        self._while_active(lambda drive: drive.on_image(camera, message))

    def _while_active(self, action: Callable[[Drive], None]) -> None:
        with self._lock:
            if self._timer is not None and self._drive is not None:
                action(self._drive)

    def _look(self, drive: Drive) -> None:
        """Disarm where who heard the commands has gone; say what else is missed."""
        armed = self._arming.armed
        reason, warnings = self._subscribers.look(find_subscribers(self, self._subscribers.topics), armed)
        for warning in warnings:
            self.get_logger().warning(warning)
        if reason:
            self.get_logger().error(f"disarmed: {reason}")
            drive.disarm_at_once(reason)
        if self._arms_by_itself and not self._subscribers.missing:
            self._arm_by_itself()
        if self._in.missed_instruction():
            self.get_logger().warning(
                "a publisher of instruction came and went without a message: ros2 topic pub --once needs --keep-alive 2"
            )

    def _arm_by_itself(self) -> None:
        """Arm on activation, or as soon as somebody subscribes to the commands."""
        refusal = self._arm()
        self._arms_by_itself = bool(refusal and self._subscribers.missing)
        if refusal is not None:
            self.get_logger().warning(f"not armed on activation: {refusal}")

    def _arm(self) -> str | None:
        """Arm, with the limits, times and thresholds that the parameters have now; the reason if that is refused."""
        with self._lock:
            drive = self._drive
            if self._timer is None or drive is None:
                return f"the node is {self._doing}, expected active"
            if not (self._arming.armed or self._arming.latched):
                unheard = self._subscribers.arm(find_subscribers(self, self._subscribers.topics))
                if unheard is not None:
                    self._arming.reason = unheard
                    return unheard
            if not drive.controller.may_move:
                try:
                    motion = self._settings.motion(drive.dt)
                except StartError as error:
                    return str(error)
                drive.controller.configure(*motion, self._settings.braking)
            refusal = drive.arm()
            self._arms_by_itself &= refusal is not None
            return refusal

    def _disarm(self) -> str | None:
        """Slow down, then stand; never refused."""
        self._arms_by_itself = False
        self._while_active(lambda drive: drive.controller.disarm("disarmed by request"))
        return None

    def _stop(self) -> str | None:
        """Latch the emergency stop, whatever the node's state; never refused."""
        with self._lock:
            self._arming.stop("by request")
            self._arms_by_itself = False
            self._while_active(Drive.stop)
        return None

    def _on_emergency_stop(self, message: Bool) -> None:
        with self._lock:
            pressed = self._arming.pressed
            self._arming.press(message.data, time.monotonic())
            if message.data and not pressed:  # the topic may say so again and again
                self._while_active(Drive.stop)

    @property
    def _described(self) -> str:
        """What it does, and what it could not do."""
        return f"{self._doing}: {self._reason}" if self._reason else self._doing

    def _say(self, text: str) -> None:
        """State and what is being done, for people; an active node says its own."""
        self._doing = text
        if not self._closing:
            self._out.status(self._described)
            self.get_logger().info(text)

    def _diagnose(self) -> None:
        with self._lock:
            if self._timer is not None and self._drive is not None:
                self._drive.diagnose(self._subscribers)
                return
        name = self.get_fully_qualified_name()
        statuses = lifecycle_status(name, self._described, fault=bool(self._reason)), machine_status(name)
        self._out.diagnostics(gathered(self.get_clock().now().to_msg(), *statuses))


def main() -> int:
    """Run the node; the exit code."""
    return run(PolicyNode)
