"""A policy behind the control core in simulated time, called as the node calls them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..control import ActionPlan, ActionRange, Command, ControllerConfig, DriveController, Limits, PolicyStepper
from ..control.stepper import Policy

CONTROL_HZ = 20.0
PLAN_TIMEOUT = 0.8  # s; longer than the node's default, so that plans which come 0.6 s late can be judged


class Pilot:
    """Drives one simulated robot.

    The latency is that of a transport, such as a camera and a link: frames reach the policy every dt whatever it is,
    several may be under way, and each plan comes `latency` after the stamp of its frame. The control core looks
    commands up by time, as on the robot: the rows of a plan that are past when it comes are never driven. Its own
    time-outs hold too: plans older than `PLAN_TIMEOUT` are not followed.

    Args:
        policy: its history is reset.
        dt: s, the policy's recurrent step.
        limits: the policy's motion limits.
        latency: s from a frame to its plan; a whole number of control ticks.

    Raises:
        ValueError: a latency that cannot be kept.
    """

    def __init__(self, policy: Policy, dt: float, limits: Limits, latency: float) -> None:
        self._delay = control_ticks(latency)
        config = ControllerConfig(dt=dt, control_hz=CONTROL_HZ, plan_timeout=PLAN_TIMEOUT)
        self._controller = DriveController(limits, config, ActionRange.unbounded())
        self._controller.arm(0.0, 0.0)
        self._stepper = PolicyStepper(policy, dt)
        self._pending: list[tuple[int, ActionPlan]] = []
        self._instruction = 0
        policy.reset()

    def instruct(self, sentence: str) -> None:
        """Follow a sentence from now on."""
        self._instruction = self._controller.set_instruction(sentence)
        self._pending.clear()

    def wants(self, tick: int) -> bool:
        """Whether the policy is to step on the frame of this tick; to be asked once of each frame."""
        now = tick / CONTROL_HZ
        return self._controller.on_frame(now, now, now)

    def see(self, rgb: NDArray[np.uint8], tick: int) -> None:
        """Let the policy step on the frame of this tick, uint8 (h, w, 3)."""
        plan = self._stepper.step(rgb, tick / CONTROL_HZ, self._controller.instruction, self._instruction)
        self._pending.append((tick + self._delay, plan))

    def command(self, tick: int) -> Command:
        """The command of this tick; to be asked at every one, after its frame."""
        now = tick / CONTROL_HZ
        while self._pending and self._pending[0][0] <= tick:
            self._controller.accept(self._pending.pop(0)[1], now, now)
        return self._controller.command(now, now)


def control_ticks(latency: float) -> int:
    """A latency (s) in control ticks.

    Raises:
        ValueError: it is no whole number of them, or negative.
    """
    ticks = round(latency * CONTROL_HZ)
    if ticks < 0 or abs(ticks / CONTROL_HZ - latency) > 1e-9:
        raise ValueError(f"latency {latency} s must be a multiple of {1 / CONTROL_HZ} s, not negative")
    return ticks
