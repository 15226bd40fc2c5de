"""The conditions change what they say and nothing else, and the number of processes changes nothing."""

import math
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest

from mobile_vla_ros.evaluation.closed_loop import evaluate, find_condition, unseen_words
from mobile_vla_ros.evaluation.conditions import CONDITIONS
from mobile_vla_ros.evaluation.free_path import free_path
from mobile_vla_ros.evaluation.series import FORWARD, POLICY, Opening, Run, drive_all
from mobile_vla_ros.share import SHIPPED_POLICY, share_path
from mobile_vla_ros.sim.base import ROBOT_RADIUS, Pose2D
from mobile_vla_ros.sim.expert import GAP
from mobile_vla_ros.sim.scene import Scene
from mobile_vla_ros.sim.task import Task, TaskKind, sample_episode, sentences
from mobile_vla_ros.sim.world import World


def scene_of(*places: tuple[float, float]) -> Scene:
    """A room of 5 x 5 m with objects of radius 0.3 m at these places; the robot at (-2, 0), looking along x."""
    scene, _ = sample_episode("evaluate", 0, 0)
    items = tuple(
        replace(scene.objects[0], x=x, y=y, radius=0.3, shape=shape)
        for (x, y), shape in zip(places, ("box", "ball", "cone"), strict=False)
    )
    return replace(scene, objects=items, size=(5.0, 5.0), start_pose=Pose2D(-2.0, 0.0, 0.0))


def test_a_free_way_is_straight() -> None:
    scene = scene_of((1.0, 0.0), (0.0, 1.5))
    expected = 3.0 - 0.3 - ROBOT_RADIUS - GAP
    assert free_path(scene, scene.start_pose, scene.objects[0]) == pytest.approx(expected, abs=1e-6)


def test_a_way_leads_round_what_stands_in_it() -> None:
    """Tangents to a circle of 0.48 m midway, and the arc between; the goal's circle is met on the way."""
    scene = scene_of((1.8, 0.0), (-0.2, 0.0))
    radius, reach = 0.3 + ROBOT_RADIUS, 0.3 + ROBOT_RADIUS + GAP
    first = math.sqrt(1.8**2 - radius**2)
    second = math.sqrt(2.0**2 - radius**2) - reach
    arc = radius * (math.asin(radius / 1.8) + math.asin(radius / 2.0))
    found = free_path(scene, scene.start_pose, scene.objects[0])
    assert found == pytest.approx(first + arc + second, rel=5e-3)
    assert found > 3.8 - reach


def test_where_the_target_is_near_there_is_no_way_to_go() -> None:
    scene = scene_of((-1.4, 0.0))
    assert free_path(scene, scene.start_pose, scene.objects[0]) == 0.0


@pytest.mark.parametrize("name", [name for name, one in CONDITIONS.items() if one.camera or one.light])
def test_pictures_change_but_stay_pictures_of_the_room(name: str) -> None:
    condition = CONDITIONS[name]
    scene, _ = sample_episode("evaluate", 0, 1)
    pictures = []
    for room in (scene, scene if condition.light is None else condition.light(scene)):
        with closing(World(room)) as world:
            pictures.append(world.render())
    plain, seen = pictures
    if condition.camera is not None:
        seen = condition.camera(np.random.default_rng(0), seen)
        assert np.array_equal(seen, condition.camera(np.random.default_rng(0), plain))
    assert (seen.shape, seen.dtype) == (plain.shape, plain.dtype)
    assert np.abs(seen.astype(float) - plain).mean() > 2.0
    assert np.corrcoef(seen.ravel(), plain.ravel())[0, 1] > 0.6


def test_unseen_words_are_said_nowhere_in_the_recordings() -> None:
    task = Task(TaskKind.GO_TO, "go to the red box", "red box")
    said = {unseen_words(task, 0, number) for number in range(30)}
    assert len(said) > 3
    assert said.isdisjoint(sentences(TaskKind.GO_TO, "red box"))


def test_an_unknown_condition_is_named() -> None:
    with pytest.raises(ValueError, match="'fog' is unknown, expected one of: nominal, latency 0 ms"):
        find_condition("fog")


def test_results_do_not_depend_on_the_number_of_processes() -> None:
    opening = Opening(share_path(SHIPPED_POLICY))
    runs = []
    for number in (0, 2):
        scene, task = sample_episode("evaluate", 0, number)
        runs.append(Run(POLICY, "camera noise", scene, task, task.instruction, 0.3, (0, number)))
    groups = {"policy": runs, "forward": [replace(run, driver=FORWARD) for run in runs]}
    alone, together = drive_all(opening, groups, 1), drive_all(opening, groups, 2)
    assert alone == together
    assert alone["policy"] != alone["forward"]


def test_the_nominal_run_is_not_driven_twice_and_has_its_baselines() -> None:
    loop = evaluate(Opening(share_path(SHIPPED_POLICY)), 2, 0, ["nominal", "latency 100 ms"], latency=0.1)
    assert loop.conditions == ()
    assert [score.name for score in loop.baselines] == ["constant forward", "untrained weights", "shuffled instruction"]
    assert all(len(score.results) == 2 for score in loop.scores)
    told = [[result.instruction for result in score.results] for score in loop.scores]
    assert told[0] == told[1] == told[2] != told[3]
