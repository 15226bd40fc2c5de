"""A demonstration driven by the expert instead of the policy node: same data, no ROS."""

from collections.abc import Iterator
from contextlib import closing

import numpy as np
import pytest

from mobile_vla_ros.demo.judge import Judge
from mobile_vla_ros.demo.recording import Drive, Frame, Motion, Recording, Said
from mobile_vla_ros.demo.tasks import choose_tasks
from mobile_vla_ros.sim.expert import Expert
from mobile_vla_ros.sim.scene import Scene, sample_scene
from mobile_vla_ros.sim.task import Task
from mobile_vla_ros.sim.world import World


@pytest.fixture(scope="session")
def scene() -> Scene:
    return sample_scene(np.random.default_rng(0))


@pytest.fixture(scope="session")
def twin(scene: Scene) -> Iterator[World]:
    with closing(World(scene)) as world:
        yield world


@pytest.fixture(scope="session")
def recording(scene: Scene) -> Recording:
    """The chosen tasks, driven by the expert."""
    result = Recording()
    with closing(World(scene)) as world:
        result.frames.append(Frame(world.time, world.render()))
        for task in choose_tasks(scene):
            drive(result, world, task)
    return result


def drive(recording: Recording, world: World, task: Task) -> None:
    expert = Expert(world.scene, task, world.pose)
    start = Motion(world.time, world.pose, world.velocity)
    judge, run, ticks = Judge(task, world.scene, start, 30.0), None, 0
    recording.motions.append(start)
    recording.instructions.append(Said(world.time, task.instruction))
    recording.statuses.append(Said(world.time, "driving"))
    names = [item.name for item in world.scene.objects]
    visible = False
    while run is None:
        if ticks % 2 == 0:
            recording.frames.append(Frame(world.time, world.render()))
            visible = task.target is not None and bool(np.any(world.segment() == names.index(task.target) + 1))
        command = expert.command(world.time, world.pose, visible)
        world.command(*command)
        recording.drives.append(Drive(world.time, command))
        world.step(0.05)
        ticks += 1
        recording.motions.append(Motion(world.time, world.pose, world.velocity))
        run = judge.update(recording.motions[-1], world.touched)
    recording.runs.append(run)
