"""The parameters of policy_node."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from mobile_vla_models.errors import DataError
from mobile_vla_models.sentence import STOP_FILE, read_stop_sentences

from ..control import BaseLimits, Braking, ControllerConfig, Limits
from ..control.blind import refuse_blind
from ..inference.loading import declare_policy
from ..overlay import Camera
from ..parameters import QOS, declare, declare_images, refuse_unknown
from ..robot_node import StartError
from ..share import share_path

PREFIX, BASE_PREFIX = "limits.", "base_limits."
_UNITS = {
    "linear_x_min": "m/s, backwards",
    "linear_x_max": "m/s, forwards",
    "angular_z_max": "rad/s, both ways",
    "linear_acceleration": "m/s^2",
    "angular_acceleration": "rad/s^2",
    "linear_jerk": "m/s^3",
    "angular_jerk": "rad/s^3",
    "linear_deceleration": "m/s^2 of every ramp to rest, or the policy's own linear_acceleration where that is greater",
    "angular_deceleration": "rad/s^2 of every ramp to rest, or the policy's own angular_acceleration, likewise",
}
LIMITS = tuple(f"{PREFIX}{field.name}" for field in fields(Limits))
# What shapes motion, and may change while the robot is disarmed and stands: description and range.
MOTION = {
    "camera_timeout": ("s without a usable frame after which cmd_vel is zero", (0.05, 0.4)),
    "policy_timeout": (
        "s that the policy may take for a frame before cmd_vel is zero; "
        "above 0.4 a policy that hangs is noticed later than 0.5 s",
        (0.05, 10.0),
    ),
    "plan_timeout": ("s from a frame's stamp until its plan is not followed any more", (0.1, 10.0)),
    "frozen_timeout": ("s that the robot may drive on while the camera's picture does not change", (0.2, 60.0)),
    "max_blind_distance": (
        "m that the robot may go after its last good information; time-outs that allow more are refused",
        (0.01, 100.0),
    ),
    "max_blind_angle": (
        "rad that the robot may turn by after its last good information; time-outs that allow more are refused",
        (0.01, 100.0),
    ),
    "stop_threshold": ("probability from which on a plan says that the task is done", (0.01, 1.0)),
    "stop_release": ("probability below which a plan says that the task is not done", (0.01, 1.0)),
    "stop_dwell": ("s for which plans must say that the task is done", (0.0, 10.0)),
    "same_instruction_timeout": (
        "s without an instruction after which the same words are a new task; 0: each message is one",
        (0.0, 3600.0),
    ),
}
# Where ~/overlay draws the path: default (that of sim_robot), description and range.
OVERLAY_CAMERA = {
    "height": (0.3, "m of the camera above the floor, for ~/overlay", (0.01, 10.0)),
    "pitch": (0.14, "rad that the camera looks down, for ~/overlay", (-1.5, 1.5)),
    "fov": (
        1.571,
        "rad, horizontal field of view, 2 * atan(width / (2 * fx)) of its camera_info, for ~/overlay",
        (0.1, 3.0),
    ),
    "forward": (0.1, "m of the camera ahead of base_frame, for ~/overlay", (-10.0, 10.0)),
}
_DEFAULTS = ControllerConfig(dt=1.0)
_ALLOWED = SetParametersResult(successful=True)


class Settings:
    """Declares the parameters, reads them as a set, and refuses changes that are wrong or come at a wrong time.

    The limits' defaults are the policy's own, so they are declared when it is there.

    Args:
        node: whose parameters.
        may_move: whether the robot may move now, so that nothing that shapes motion may change.

    Raises:
        rclpy.exceptions.ParameterException: wrong type or out of range; the message names the parameter.
        StartError: an unknown parameter, none of the choices, a path that is not absolute, or a list of sentences that
            mean stop which cannot be used.

    Attributes:
        policy: what to load, where `policy_server` is empty.
        policy_server, image_transport, camera_tolerance, stamped, base_frame, autostart, arm_on_activate, control_hz,
            command_topics, emergency_stop_timeout, odometry_timeout, reproject, robot_width, black_box_folder,
            black_box_seconds, black_box_megabytes: as `ros2 param describe` says; they do not change.
        camera: that takes the overlay's picture.
        stop_sentences: Sentences that mean stop.
        images: What the cameras' frames may be.
        base: Limits of the base.
    """

    def __init__(self, node: Node, may_move: Callable[[], bool]) -> None:
        self._node, self._may_move = node, may_move
        self._own: Limits | None = None  # the policy's
        self._held: Limits | None = None  # the tighter of the policy's and the base's
        self.policy = declare_policy(node)
        self.policy_server = declare(
            node,
            "policy_server",
            "",
            "name of a policy_server that runs the policy, such as /policy_server; empty: none",
        )
        if self.policy.directory and self.policy_server:
            raise StartError(
                f"policy {self.policy.directory} and policy_server {self.policy_server}: expected one of them"
            )
        self.image_transport = declare(
            node,
            "image_transport",
            "raw",
            "raw: sensor_msgs/Image on camera/image_raw; "
            "compressed: sensor_msgs/CompressedImage on camera/image_raw/compressed; "
            "for a policy with several cameras camera/NAME/image_raw",
            choices=("raw", "compressed"),
        )
        self.images = declare_images(node)
        self.camera_tolerance = declare(
            node,
            "camera_tolerance",
            0.05,
            "s that the stamps of several cameras' frames may differ by for the policy to see them together",
            between=(0.0, 0.2),
        )
        self.stamped = declare(
            node, "enable_stamped_cmd_vel", False, "publish TwistStamped instead of Twist on cmd_vel"
        )
        self.base_frame = declare(node, "base_frame", "base_link", "frame_id of a stamped cmd_vel")
        self.autostart = declare(
            node, "autostart", True, "configure and activate by itself; false: a lifecycle manager does"
        )
        self.arm_on_activate = declare(
            node, "arm_on_activate", False, "allow motion as soon as the node is active, without ~/arm"
        )
        self.control_hz = declare(node, "control_hz", _DEFAULTS.control_hz, "Hz of cmd_vel", between=(10.0, 100.0))
        self.command_topics = self._declare_topics(
            "command_topics",
            "names, separated by spaces, of the topics between cmd_vel and the wheels that must have a subscriber "
            "while the robot is armed, as cmd_vel itself must, such as: cmd_vel_mux cmd_vel; not remapped",
        )
        self.emergency_stop_timeout = declare(
            node,
            "emergency_stop_timeout",
            0.0,
            "s without a message on emergency_stop after which cmd_vel is zero, latched; 0: it may be silent",
            between=(0.0, 5.0),
        )
        self.odometry_timeout = declare(
            node,
            "odometry_timeout",
            _DEFAULTS.odometry_timeout,
            "s without odometry on odom after which cmd_vel is zero; 0: odometry is not used",
            between=(0.0, 5.0),
        )
        self.reproject = declare(
            node, "reproject", _DEFAULTS.reproject, "follow plans by where odom has the robot, not by the clock alone"
        )
        self.camera = Camera(
            **{
                name: declare(node, f"overlay_camera_{name}", default, description, between=between)
                for name, (default, description, between) in OVERLAY_CAMERA.items()
            }
        )
        self.robot_width = declare(
            node, "overlay_robot_width", 0.36, "m that the path on ~/overlay is wide", between=(0.01, 10.0)
        )
        self.black_box_folder = declare(
            node,
            "black_box_folder",
            "",
            "absolute path of a folder of its own for recordings of what was around a stop; empty: none are made",
        )
        if self.black_box_folder and not Path(self.black_box_folder).is_absolute():
            raise StartError(f"parameter black_box_folder is {self.black_box_folder!r}: expected an absolute path")
        self.black_box_seconds = declare(
            node, "black_box_seconds", 15.0, "s before a stop that the black box records", between=(1.0, 300.0)
        )
        self.black_box_megabytes = declare(
            node,
            "black_box_megabytes",
            256,
            "MiB of a recording of the black box at most; it takes up to twice that of memory",
            between=(1, 65536),
        )
        stop_words_file = declare(
            node,
            "stop_words_file",
            "",
            "absolute path of a list of sentences that mean stop; empty: config/words/stop.yaml of this package",
        )
        if stop_words_file and not Path(stop_words_file).is_absolute():
            raise StartError(f"parameter stop_words_file is {stop_words_file!r}: expected an absolute path")
        try:
            self.stop_sentences = read_stop_sentences(Path(stop_words_file or share_path(STOP_FILE)))
        except (DataError, FileNotFoundError) as error:
            raise StartError(f"parameter stop_words_file: {error}") from error
        self.base = self._declare_base_limits()
        for name, (description, between) in MOTION.items():
            declare(node, name, float(getattr(_DEFAULTS, name)), description, between=between, changeable=True)
        self.config(_DEFAULTS.dt)
        node.add_on_set_parameters_callback(self._judge)

    def refuse_unknown(self) -> None:
        """Refuse parameters of other names, but for QoS overrides: at configure it is known which cameras there are.

        Raises:
            StartError: the message names them.
        """
        refuse_unknown(self._node, later=(*LIMITS, QOS))

    def declare_limits(self, own: Limits) -> None:
        """Declare the limits to drive within.

        Args:
            own: Limits of the policy; where the base's are tighter, those hold.

        Raises:
            StartError: A parameter would loosen one, or the time-outs allow to go too far.
        """
        held = own.within(self.base)
        for field in fields(own):
            name, value = f"{PREFIX}{field.name}", float(getattr(held, field.name))
            if self._held is not None and self._node.has_parameter(name):
                if self._node.get_parameter(name).value != getattr(self._held, field.name):
                    continue  # somebody has tightened it
                self._node.undeclare_parameter(name)  # it was the former policy's
            if not self._node.has_parameter(name):
                description = (
                    f"{_UNITS[field.name]}; the policy's own is {getattr(own, field.name):g}, "
                    f"{BASE_PREFIX}{field.name} is {getattr(self.base, field.name):g}; the tightest of all three holds"
                )
                declare(self._node, name, value, description, changeable=True)
        self._own, self._held = own, held
        self.limits()
        tightened = [
            f"{field.name} {getattr(own, field.name):g} to {getattr(held, field.name):g}"
            for field in fields(own)
            if getattr(held, field.name) != getattr(own, field.name)
        ]
        if tightened:
            self._node.get_logger().info(f"the base's limits hold instead of the policy's: {', '.join(tightened)}")

    @property
    def braking(self) -> Braking:
        """Limits of every ramp to rest under the present policy."""
        return self.base.braking(self._policys())

    def limits(self, changes: Mapping[str, Any] | None = None) -> Limits:
        """The policy's limits, tightened by the parameters, by `changes` of them, and by the base's limits.

        Raises:
            StartError: one would be loosened.
        """
        values = self._values(LIMITS, changes)
        try:
            own = self._policys().tightened({name.removeprefix(PREFIX): value for name, value in values.items()})
        except ValueError as error:
            raise StartError(f"parameter limits: {error}") from error
        return own.within(self.base)

    def motion(self, dt: float, changes: Mapping[str, Any] | None = None) -> tuple[Limits, ControllerConfig]:
        """What shapes motion, for a policy of this `dt` (s), with `changes` of the parameters.

        Raises:
            StartError: Some of it does not go together, or allows the robot to go too far after its last good
                information.
        """
        limits, config = self.limits(changes), self.config(dt, changes)
        try:
            refuse_blind(config, limits, self.braking, self.emergency_stop_timeout)
        except ValueError as error:
            raise StartError(f"parameter {error}") from error
        return limits, config

    def config(self, dt: float, changes: Mapping[str, Any] | None = None) -> ControllerConfig:
        """Times and thresholds for a policy of this `dt` (s), with `changes` of the parameters.

        Raises:
            StartError: they do not go together.
        """
        values = self._values(tuple(MOTION), changes)
        try:
            return ControllerConfig(
                dt=dt,
                control_hz=self.control_hz,
                odometry_timeout=self.odometry_timeout,
                reproject=self.reproject,
                **values,
            )
        except ValueError as error:
            raise StartError(f"parameter {error}") from error

    def _declare_topics(self, name: str, description: str) -> tuple[str, ...]:
        """Declare a parameter that lists topics; their full names, not remapped."""
        text = declare(self._node, name, "", description)
        try:
            return tuple(self._node.resolve_topic_name(topic, only_expand=True) for topic in text.split())
        except RuntimeError as error:  # rclpy's RCLError, which has no public place
            reason = str(error).partition(", at ")[0]
            raise StartError(f"parameter {name} is {text!r}: expected names of topics: {reason}") from error

    def _policys(self) -> Limits:
        if self._own is None:
            raise RuntimeError("limits are known when there is a policy")
        return self._own

    def _declare_base_limits(self) -> BaseLimits:
        default = BaseLimits()
        values = {
            field.name: declare(
                self._node,
                f"{BASE_PREFIX}{field.name}",
                float(getattr(default, field.name)),
                f"{_UNITS[field.name]}; limit of the base, within which every policy is held",
            )
            for field in fields(default)
        }
        try:
            return BaseLimits(**values)
        except ValueError as error:
            raise StartError(f"parameter {BASE_PREFIX.rstrip('.')}: {error}") from error

    def _values(self, names: tuple[str, ...], changes: Mapping[str, Any] | None) -> dict[str, Any]:
        return {name: self._node.get_parameter(name).value for name in names} | {
            name: value for name, value in (changes or {}).items() if name in names
        }

    def _judge(self, parameters: list[Parameter[Any]]) -> SetParametersResult:
        """Whether a change is allowed. Nothing else happens here: they are read when the robot is armed."""
        changes = {
            parameter.name: parameter.value
            for parameter in parameters
            if (parameter.name in MOTION or parameter.name in LIMITS) and self._node.has_parameter(parameter.name)
        }
        if not changes:
            return _ALLOWED
        if self._may_move():
            reason = f"{', '.join(changes)} can change only while the robot is disarmed and stands"
            return SetParametersResult(successful=False, reason=reason)
        try:
            if self._own is None:
                self.config(_DEFAULTS.dt, changes)
            else:
                self.motion(_DEFAULTS.dt, changes)
        except StartError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return _ALLOWED
