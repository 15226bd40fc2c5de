"""Times and thresholds of the controller."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

BASE_PATIENCE = 0.5  # s that a base waits at most for a command before it stops by itself
_MAY_BE_ZERO = (
    "odometry_timeout",
    "blend_time",
    "stop_dwell",
    "same_instruction_timeout",
    "future_tolerance",
    "clock_tolerance",
)
_SWITCHES = ("reproject",)
_PROBABILITIES = ("stop_threshold", "stop_release")


@dataclass(frozen=True)
class ControllerConfig:
    """Times and thresholds of the controller.

    From the last frame (or from the moment the policy got work and went silent) to a zero command it takes at
    most `camera_timeout` (`policy_timeout`) and two control periods, the second for what waits to be read:
    0.40 s with these values. That leaves 0.1 s for transport and a busy machine within the 0.5 s that a base
    waits at most.

    Attributes:
        dt: s between recurrent steps; must be the policy's.
        control_hz: how often `command` is called.
        camera_timeout: s without a usable frame, and age of a frame on arrival, from which on the command is
            zero.
        policy_timeout: s that the policy may work on a frame before the command is zero.
        plan_timeout: s after its stamp from which on a plan is not followed (the robot slows down to zero).
        frozen_timeout: s that the robot may drive on while the camera's picture does not change.
        max_blind_distance: m that the robot may go after its last good information; see `blind`.
        max_blind_angle: rad that the robot may turn by after its last good information.
        odometry_timeout: s without odometry from which on the command is zero; 0: odometry is not used.
        blend_time: s over which a new plan takes over from the one before.
        stop_threshold: probability from which on a plan says that the task is done.
        stop_release: probability below which a plan says that it is not.
        stop_dwell: s for which plans must say that it is done.
        same_instruction_timeout: Time without an instruction after which the same words are a new task, s; 0: each
            message is one.
        future_tolerance: s that a stamp may lie ahead of the clock.
        clock_tolerance: s that the clock may jump.
        reproject: skip what has been driven of a plan by where odometry has the robot, not by the clock alone; needs
            `odometry_timeout`.

    Raises:
        ValueError: a value out of range, or that does not go with another; the message names it.
    """

    dt: float
    control_hz: float = 20.0
    camera_timeout: float = 0.3
    policy_timeout: float = 0.3
    plan_timeout: float = 0.65
    frozen_timeout: float = 0.9
    max_blind_distance: float = 0.5
    max_blind_angle: float = 1.571
    odometry_timeout: float = 0.0
    blend_time: float = 0.1
    stop_threshold: float = 0.5
    stop_release: float = 0.4
    stop_dwell: float = 0.4
    same_instruction_timeout: float = 5.0
    future_tolerance: float = 0.1
    clock_tolerance: float = 0.5
    reproject: bool = False

    def __post_init__(self) -> None:
        for field in fields(self):
            if field.name in _SWITCHES:
                continue
            value, may_be_zero = getattr(self, field.name), field.name in _MAY_BE_ZERO
            if not (math.isfinite(value) and (value >= 0.0 if may_be_zero else value > 0.0)):
                expected = "at least 0" if may_be_zero else "above 0"
                raise ValueError(f"{field.name} = {value}: expected a finite number, {expected}")
            if field.name in _PROBABILITIES and value > 1.0:
                raise ValueError(f"{field.name} = {value}: expected a probability")
        if self.stop_release > self.stop_threshold:
            raise ValueError(f"stop_release = {self.stop_release} is above stop_threshold = {self.stop_threshold}")
        if self.reproject and self.odometry_timeout == 0.0:
            raise ValueError("reproject = True with odometry_timeout = 0.0: expected a timeout, it needs odometry")
        blind = self.camera_timeout + 2.0 / self.control_hz
        if blind > BASE_PATIENCE + 1e-9:
            raise ValueError(
                f"camera_timeout = {self.camera_timeout} with control_hz = {self.control_hz}: a dead camera would stop "
                f"the robot after {blind:.2f} s, expected at most {BASE_PATIENCE} s"
            )
