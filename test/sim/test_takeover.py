"""Who drives: the policy, unless it would end badly."""

import numpy as np
import pytest
from numpy.typing import NDArray

from mobile_vla_models import ActionChunk
from mobile_vla_ros.control import Limits
from mobile_vla_ros.sim.base import ROBOT_RADIUS, Pose2D, Velocity
from mobile_vla_ros.sim.pilot import CONTROL_HZ, Pilot
from mobile_vla_ros.sim.scene import Scene, sample_scene
from mobile_vla_ros.sim.takeover import DANGER_GAP, PATIENCE, TURNS, Takeover

LIMITS = Limits(0.0, 0.5, 1.0, 1.0, 3.0, 10.0, 30.0)
EXPERT = Velocity(0.1, -0.2)
PICTURE = np.zeros((8, 8, 3), dtype=np.uint8)


class Fixed:
    """The same answer to every frame."""

    def __init__(self, linear_x: float, angular_z: float, stop: float = 0.0) -> None:
        self._velocity = np.tile(np.array([linear_x, angular_z], dtype=np.float32), (8, 1))
        self._stop = np.full(8, stop, dtype=np.float32)

    def reset(self) -> None: ...

    def step(self, rgb: NDArray[np.uint8], instruction: str) -> ActionChunk:
        return ActionChunk.of_base(self._velocity, self._stop, 0.2)


@pytest.fixture
def scene() -> Scene:
    return sample_scene(np.random.default_rng(3))


def run(
    policy: Fixed, scene: Scene, pose: Pose2D, seconds: float, expert: Velocity = EXPERT, done_at: float = 1e9
) -> list[Velocity]:
    """The commands of a robot that stays at one pose."""
    takeover = Takeover(Pilot(policy, 0.2, LIMITS, 0.1), scene, None, np.random.default_rng(0))
    takeover.instruct("go on")
    commands = []
    for tick in range(round(seconds * CONTROL_HZ)):
        if tick % 2 == 0:
            takeover.look(PICTURE, tick)
        commands.append(takeover.command(tick, pose, expert, tick >= done_at * CONTROL_HZ))
    return commands


def test_the_policy_drives_where_nothing_is_in_danger(scene: Scene) -> None:
    commands = run(Fixed(0.3, 0.5), scene, scene.start_pose, 3.0)
    assert EXPERT not in commands
    assert commands[-1] == pytest.approx((0.3, 0.5))


def test_the_expert_drives_beside_a_wall_and_gives_back(scene: Scene) -> None:
    x = scene.size[0] / 2 - ROBOT_RADIUS - DANGER_GAP
    near, clear = (Pose2D(place, 0.0, 0.0) for place in (x + 0.01, x - 0.01))
    bare = Scene(**{**vars(scene), "objects": ()})
    assert set(run(Fixed(0.3, 0.5), bare, near, 1.0)) == {EXPERT}
    assert EXPERT not in run(Fixed(0.3, 0.5), bare, clear, 1.0)


@pytest.mark.parametrize("stop", [0.0, 1.0])
def test_a_policy_that_stands_is_helped_on_and_tried_again(scene: Scene, stop: float) -> None:
    commands = run(Fixed(0.0, 0.0, stop), scene, scene.start_pose, 12.0)
    driven = np.array([command == EXPERT for command in commands])
    begins = np.flatnonzero(np.diff(driven.astype(int)) == 1) + 1
    ends = np.flatnonzero(np.diff(driven.astype(int)) == -1) + 1
    assert begins[0] == pytest.approx(PATIENCE * CONTROL_HZ, abs=1)
    assert len(begins) >= 3
    assert all(TURNS[0] <= (end - begin) / CONTROL_HZ <= TURNS[1] for begin, end in zip(begins, ends, strict=False))


def test_a_policy_may_stand_where_the_expert_stands(scene: Scene) -> None:
    rest = Velocity(0.0, 0.0)
    assert set(run(Fixed(0.0, 0.0), scene, scene.start_pose, 5.0, expert=rest)) == {rest}


def test_the_robot_stands_once_the_expert_is_done(scene: Scene) -> None:
    rest = Velocity(0.0, 0.0)
    commands = run(Fixed(0.3, 0.5), scene, scene.start_pose, 2.0, expert=rest, done_at=1.0)
    assert set(commands[round(CONTROL_HZ) :]) == {rest}
    assert commands[round(CONTROL_HZ) - 1] != rest
