"""A controller that looks through two cameras: each of them is watched as if it were the only one."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pytest
from drive_loop import CONFIG, DEADLINE, LIMITS, RANGE, TICK, is_zero, make_plan
from numpy.typing import NDArray

from mobile_vla_models import ActionChunk
from mobile_vla_ros.control import Command, DriveController, DriveState
from mobile_vla_ros.control.cameras import TOGETHER
from mobile_vla_ros.control.stepper import PolicyStepper

CAMERAS = ("front", "hand")


@dataclass
class Loop:
    """Both cameras at 10 Hz; what is in `silent` sends nothing, in `frozen` the same picture, in `old` stale frames."""

    silent: set[str] = field(default_factory=set)
    frozen: set[str] = field(default_factory=set)
    old: set[str] = field(default_factory=set)
    together: bool = True

    def __post_init__(self) -> None:
        self.controller = DriveController(LIMITS, CONFIG, RANGE, cameras=CAMERAS)
        self.steady = 0.0
        self.picture = 0
        self.ticks = 0
        assert self.controller.arm(self.now, 0.0) is None

    @property
    def now(self) -> float:
        return self.steady + 1000.0

    def run(self, duration: float) -> list[Command]:
        return [self.tick() for _ in range(round(duration / TICK))]

    def tick(self) -> Command:
        self.ticks += 1
        self.steady = round(self.steady + TICK, 6)
        controller = self.controller
        if self.ticks % 2 == 0:
            self.picture += 1
            seen = [
                controller.see(
                    camera,
                    self.now - (0.4 if camera in self.old else 0.0),
                    self.now,
                    self.steady,
                    0 if camera in self.frozen else self.picture,
                )
                for camera in CAMERAS
                if camera not in self.silent
            ]
            if seen == [True, True] and self.together and controller.step_due(self.now, self.steady):
                controller.accept(make_plan(self.now, controller.instruction_id), self.now, self.steady)
        return controller.command(self.now, self.steady)


def driving() -> Loop:
    loop = Loop()
    loop.run(0.3)
    loop.controller.set_instruction("go")
    assert loop.run(2.0)[-1].state is DriveState.DRIVING
    return loop


@pytest.mark.parametrize("camera", CAMERAS)
@pytest.mark.parametrize(
    ("fault", "reason", "within"),
    [
        ("silent", "no usable frame for 2.", DEADLINE),
        ("old", "no usable frame for 2.", DEADLINE),
        ("frozen", "the picture is frozen", CONFIG.frozen_timeout + 3 * TICK),
    ],
)
def test_any_camera_that_fails_stops_the_robot_until_it_is_well(
    camera: str, fault: str, reason: str, within: float
) -> None:
    loop = driving()
    getattr(loop, fault).add(camera)
    commands = loop.run(within + 2.0)
    assert all(is_zero(command) for command in commands[round(within / TICK) :])
    assert commands[-1].state is DriveState.STOPPED
    assert commands[-1].reason.startswith(f"camera {camera}: {reason}")
    assert ("(frame already 0.40 s old on arrival)" in commands[-1].reason) == (fault == "old")
    getattr(loop, fault).clear()
    assert loop.run(1.0)[-1].state is DriveState.DRIVING


def test_frames_that_do_not_belong_together_stop_the_robot_as_a_silent_camera_does() -> None:
    loop = driving()
    loop.together = False
    commands = loop.run(DEADLINE + 1.0)
    assert all(is_zero(command) for command in commands[round(DEADLINE / TICK) :])
    assert commands[-1].reason.startswith("cameras: no frames of front, hand that belong together for ")
    loop.together = True
    assert loop.run(1.0)[-1].state is DriveState.DRIVING


def test_a_bad_frame_of_one_camera_is_zero_at_once() -> None:
    loop = driving()
    loop.controller.refuse_frame("camera hand: image is empty", loop.steady)
    assert is_zero(loop.tick())


def test_every_camera_has_a_watchdog_of_its_own_and_so_have_sets() -> None:
    watchdogs = Loop().controller.watchdogs
    assert list(watchdogs) == ["camera front", "camera hand", TOGETHER, "policy", "odometry", "emergency stop"]
    assert all(watchdogs[name].running for name in list(watchdogs)[:3])
    alone = DriveController(LIMITS, CONFIG, RANGE).watchdogs
    assert list(alone) == ["camera", "policy", "odometry", "emergency stop"]


def test_the_policy_gets_the_pictures_by_name() -> None:
    class Policy:
        def reset(self) -> None:
            pass

        def step(
            self,
            rgb: NDArray[np.uint8],
            instruction: str,
            state: None = None,
            extra_cameras: Mapping[str, NDArray[np.uint8]] | None = None,
        ) -> ActionChunk:
            seen.append((rgb, state, extra_cameras))
            return ActionChunk.of_base(np.zeros((5, 2), np.float32), np.zeros(5, np.float32), 0.2)

    seen: list[tuple[object, ...]] = []
    front, hand = np.zeros((4, 6, 3), np.uint8), np.ones((2, 3, 3), np.uint8)
    stepper = PolicyStepper(Policy(), 0.2)
    assert stepper.step(front, 12.5, "go", 7, {"hand": hand}).stamp == 12.5
    stepper.step(front, 12.7, "go", 7, {})
    assert seen == [(front, None, {"hand": hand}), (front, None, None)]
