"""The expert, driven kinematically: a camera is stood in for by geometry."""

import math
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pytest

from mobile_vla_ros.sim.base import ROBOT_RADIUS, DiffDrive, Disturbance, DriveConfig, Pose2D, Velocity
from mobile_vla_ros.sim.expert import MEMORY, SPEED, TURN_RATE, Expert
from mobile_vla_ros.sim.scene import Scene, SceneObject
from mobile_vla_ros.sim.task import (
    Outcome,
    Task,
    TaskKind,
    TaskMonitor,
    bearing,
    edge_gap,
    sample_episode,
    sentences,
    visible_width,
)

DT = 0.01
HALF_VIEW = math.radians(45)


@dataclass
class Run:
    """What happened: the outcome, and at 20 Hz poses, commands and whether the target was seen."""

    outcome: Outcome | None = None
    poses: list[Pose2D] = field(default_factory=list)
    commands: list[Velocity] = field(default_factory=list)
    visible: list[bool] = field(default_factory=list)


def in_view(scene: Scene, pose: Pose2D, target: SceneObject) -> bool:
    return abs(bearing(pose, target)) < HALF_VIEW and visible_width(scene, pose, target) > math.radians(2)


def touches(scene: Scene, pose: Pose2D) -> str | None:
    if any(abs(place) > side / 2 - ROBOT_RADIUS for place, side in zip(pose[:2], scene.size, strict=True)):
        return "wall"
    return next((item.name for item in scene.objects if edge_gap(pose, item) < 0.0), None)


def drive(scene: Scene, task: Task, push_rng: np.random.Generator | None = None) -> Run:
    """Drive a task from the scene's start; with a generator, the floor pushes the robot now and then."""
    base, expert = DiffDrive(scene.start_pose, DriveConfig()), Expert(scene, task, scene.start_pose)
    monitor = TaskMonitor(task, scene, scene.start_pose, 0.0)
    target = next((item for item in scene.objects if item.name == task.target), None)
    run, visible, tick = Run(), False, 0
    while run.outcome is None:
        time = tick * DT
        if tick % 10 == 0:
            visible = target is not None and in_view(scene, base.pose, target)
        if tick % 5 == 0:
            command = expert.command(time, base.pose, visible)
            base.command(*command, time)
            run.poses.append(base.pose)
            run.commands.append(command)
            run.visible.append(visible)
        if push_rng is not None and tick % 50 == 0:
            pushed = not expert.done and push_rng.random() < 0.15
            base.disturbance = (
                Disturbance(push_rng.uniform(0.7, 1.2), 0.0, push_rng.uniform(-1.2, 1.2)) if pushed else Disturbance()
            )
        base.step(time, DT)
        tick += 1
        run.outcome = monitor.update(time + DT, base.pose, base.velocity, touches(scene, base.pose))
    return run


@pytest.mark.parametrize("pushed", [False, True])
def test_the_expert_does_what_it_is_told(pushed: bool) -> None:
    counts: Counter[Outcome | None] = Counter()
    for index in range(200):
        scene, task = sample_episode("test expert", 0, index)
        counts[drive(scene, task, np.random.default_rng(index) if pushed else None).outcome] += 1
    assert counts[Outcome.COLLISION] == 0
    assert counts[Outcome.WRONG_OBJECT] == 0
    assert counts[Outcome.REACHED] >= 196


@pytest.fixture(scope="module")
def runs() -> list[tuple[Task, Run]]:
    """Go-to runs that were reached."""
    drawn = [sample_episode("test expert", 1, index) for index in range(60)]
    driven = [(task, drive(scene, task)) for scene, task in drawn if task.kind is TaskKind.GO_TO]
    return [(task, run) for task, run in driven if run.outcome is Outcome.REACHED]


def test_commands_are_within_the_limits(runs: list[tuple[Task, Run]]) -> None:
    for _, run in runs:
        assert all(0.0 <= linear <= SPEED and abs(angular) <= TURN_RATE for linear, angular in run.commands)


def test_it_acts_only_on_what_was_seen(runs: list[tuple[Task, Run]]) -> None:
    memory = round(MEMORY / 0.05)
    for _, run in runs:
        for tick, command in enumerate(run.commands):
            if not any(run.visible[max(0, tick - memory - 1) : tick + 1]):
                assert command == Velocity(0.0, TURN_RATE)


def test_it_ends_in_exact_zeros_at_its_full_stop_distance(runs: list[tuple[Task, Run]]) -> None:
    for task, run in runs:
        moving = [tick for tick, command in enumerate(run.commands) if command != Velocity(0.0, 0.0)]
        assert len(run.commands) - moving[-1] >= 20, task
        assert max(moving) - min(moving) + 1 == len(moving), "it hesitated"


def test_commands_change_gradually_while_the_target_is_in_view(runs: list[tuple[Task, Run]]) -> None:
    changes = [
        (abs(after.linear_x - before.linear_x), abs(after.angular_z - before.angular_z))
        for _, run in runs
        for (before, after), seen in zip(pairwise(run.commands), run.visible[1:], strict=True)
        if seen and after != Velocity(0.0, 0.0)
    ]
    linear, angular = np.array(changes).T
    assert np.quantile(linear, 0.98) < 0.1
    assert np.quantile(angular, 0.98) < 0.2


@pytest.mark.parametrize(("kind", "way"), [(TaskKind.TURN_LEFT, 1.0), (TaskKind.TURN_RIGHT, -1.0)])
def test_turns_are_quarters(kind: TaskKind, way: float) -> None:
    scene, _ = sample_episode("test expert", 2, 0)
    run = drive(scene, Task(kind, sentences(kind)[0]))
    assert run.outcome is Outcome.REACHED
    turned = math.remainder(run.poses[-1].yaw - run.poses[0].yaw, math.tau)
    assert turned == pytest.approx(way * math.pi / 2, abs=math.radians(6))


def test_stop_is_zero_from_the_start() -> None:
    scene, _ = sample_episode("test expert", 2, 0)
    run = drive(scene, Task(TaskKind.STOP, "stop"))
    assert run.outcome is Outcome.REACHED
    assert set(run.commands) == {Velocity(0.0, 0.0)}


def test_a_target_that_is_not_there_is_an_error() -> None:
    scene, _ = sample_episode("test expert", 2, 0)
    with pytest.raises(ValueError, match="pink box"):
        Expert(scene, Task(TaskKind.GO_TO, "go to the pink box", "pink box"), scene.start_pose)
