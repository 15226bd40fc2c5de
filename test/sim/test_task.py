"""Tasks in words and the judge of runs."""

import math
from collections import Counter

import numpy as np
import pytest

from mobile_vla_models.sentence import shipped_stop_sentences
from mobile_vla_ros.sim.base import ROBOT_RADIUS, Pose2D, Velocity
from mobile_vla_ros.sim.scene import Scene, SceneObject, sample_scene
from mobile_vla_ros.sim.task import (
    PHRASES,
    Outcome,
    Task,
    TaskKind,
    TaskMonitor,
    bearing,
    edge_gap,
    made_up,
    sample_episode,
    sample_task,
    sentences,
    visible_width,
)

STILL, MOVING = Velocity(0.0, 0.0), Velocity(0.3, 0.0)
GO_TO_BOX = Task(TaskKind.GO_TO, "go to the red box", "red box")
TURN_LEFT = Task(TaskKind.TURN_LEFT, "turn left")
STOP = Task(TaskKind.STOP, "stop")


def item(name: str, x: float, y: float, radius: float = 0.25) -> SceneObject:
    color, shape = name.split()
    return SceneObject(color, shape, x, y, radius, 0.4, 0.0, (1.0, 0.0, 0.0))


@pytest.fixture
def scene() -> Scene:
    """The red box ahead of the origin, the blue box behind it, out of sight the green ball."""
    drawn = sample_scene(np.random.default_rng(0))
    objects = (item("red box", 1.5, 0.0), item("blue box", -1.5, 0.0), item("green ball", 0.0, 1.5))
    return Scene(objects, (5.0, 5.0), drawn.floor, drawn.walls, drawn.lighting, drawn.camera, Pose2D(0.0, 0.0, 0.0))


def stand(monitor: TaskMonitor, pose: Pose2D, seconds: float, start: float = 0.0) -> Outcome | None:
    """Stand at a pose; the outcome, or None if there is none by the end."""
    for tick in range(round(seconds / 0.05) + 1):
        outcome = monitor.update(start + tick * 0.05, pose, STILL, None)
        if outcome is not None:
            return outcome
    return None


def at_gap(gap: float, angle: float = 0.0, yaw: float = 0.0) -> Pose2D:
    """A pose `gap` from the edge of the red box, seen from it in direction pi + `angle`."""
    distance = 0.25 + ROBOT_RADIUS + gap
    return Pose2D(1.5 - distance * math.cos(angle), -distance * math.sin(angle), yaw)


def test_gap_and_bearing(scene: Scene) -> None:
    assert edge_gap(at_gap(0.32), scene.objects[0]) == pytest.approx(0.32)
    assert bearing(Pose2D(0.0, 0.0, 0.3), scene.objects[0]) == pytest.approx(-0.3)
    assert bearing(Pose2D(0.0, 0.0, -0.5), scene.objects[2]) == pytest.approx(math.pi / 2 + 0.5)


@pytest.mark.parametrize(
    ("gap", "yaw", "expected"),
    [
        (0.32, 0.0, Outcome.REACHED),
        (0.59, 0.0, Outcome.REACHED),
        (0.61, 0.0, None),
        (0.32, math.radians(44), Outcome.REACHED),
        (0.32, math.radians(46), None),
    ],
)
def test_the_target_is_reached_near_and_facing(scene: Scene, gap: float, yaw: float, expected: Outcome | None) -> None:
    pose = at_gap(gap, yaw=yaw)
    assert stand(TaskMonitor(GO_TO_BOX, scene, pose, 0.0), pose, 2.0) == expected


def test_one_second_of_standing_is_needed(scene: Scene) -> None:
    pose = at_gap(0.32)
    monitor = TaskMonitor(GO_TO_BOX, scene, pose, 0.0)
    assert stand(monitor, pose, 0.9) is None
    assert monitor.update(0.95, pose, MOVING, None) is None
    assert stand(monitor, pose, 0.9, start=1.0) is None
    assert stand(monitor, pose, 0.2, start=1.95) is Outcome.REACHED


def test_standing_at_another_object_is_wrong(scene: Scene) -> None:
    pose = Pose2D(-1.5 + 0.9, 0.0, math.pi)
    assert stand(TaskMonitor(GO_TO_BOX, scene, pose, 0.0), pose, 2.0) is Outcome.WRONG_OBJECT


def test_standing_between_ends_in_time_out(scene: Scene) -> None:
    monitor = TaskMonitor(GO_TO_BOX, scene, Pose2D(0.0, 0.0, 0.0), 0.0, time_limit=5.0)
    assert stand(monitor, Pose2D(0.0, 0.0, 0.0), 4.9) is None
    assert monitor.update(5.0, Pose2D(0.0, 0.0, 0.0), STILL, None) is Outcome.TIME_OUT


def test_contact_is_a_collision_whatever_else_holds(scene: Scene) -> None:
    pose = at_gap(0.32)
    monitor = TaskMonitor(GO_TO_BOX, scene, pose, 0.0)
    assert stand(monitor, pose, 0.9) is None
    assert monitor.update(1.5, pose, STILL, "wall") is Outcome.COLLISION


@pytest.mark.parametrize(
    ("degrees", "expected"),
    [
        (90, Outcome.REACHED),
        (62, Outcome.REACHED),
        (118, Outcome.REACHED),
        (55, None),
        (125, None),
        (-90, None),
    ],
)
def test_a_turn_is_a_quarter_the_right_way(scene: Scene, degrees: float, expected: Outcome | None) -> None:
    start = Pose2D(0.0, 0.0, 3.0)  # turning left crosses pi
    monitor = TaskMonitor(TURN_LEFT, scene, start, 0.0)
    for tick in range(1, 41):
        yaw = 3.0 + math.radians(degrees) * tick / 40
        turning = Velocity(0.0, math.copysign(0.8, degrees))
        assert monitor.update(tick * 0.05, Pose2D(0.0, 0.0, math.remainder(yaw, math.tau)), turning, None) is None
    end = Pose2D(0.0, 0.0, math.remainder(3.0 + math.radians(degrees), math.tau))
    assert stand(monitor, end, 1.5, start=2.05) == expected


def test_a_turn_stays_in_place(scene: Scene) -> None:
    monitor = TaskMonitor(TURN_LEFT, scene, Pose2D(0.0, 0.0, 0.0), 0.0)
    monitor.update(0.05, Pose2D(0.35, 0.0, math.pi / 2), MOVING, None)
    assert stand(monitor, Pose2D(0.35, 0.0, math.pi / 2), 2.0, start=0.1) is None


@pytest.mark.parametrize(("distance", "expected"), [(0.2, Outcome.REACHED), (0.4, None)])
def test_stop_is_to_stand_soon(scene: Scene, distance: float, expected: Outcome | None) -> None:
    monitor = TaskMonitor(STOP, scene, Pose2D(0.0, 0.0, 0.0), 0.0)
    there = Pose2D(distance, 0.0, 0.0)
    monitor.update(0.5, there, MOVING, None)
    assert stand(monitor, there, 2.9, start=0.55) is None
    assert stand(monitor, there, 0.2, start=3.5) == expected


def test_a_task_with_a_target_is_a_go_to() -> None:
    with pytest.raises(ValueError, match="go_to"):
        Task(TaskKind.STOP, "stop", "red box")
    with pytest.raises(ValueError, match="go_to"):
        Task(TaskKind.GO_TO, "go to the red box")


def test_hidden_objects_have_no_visible_width(scene: Scene) -> None:
    target = scene.objects[0]
    origin = Pose2D(0.0, 0.0, 1.0)
    alone = visible_width(scene, origin, target)
    assert alone == pytest.approx(2 * math.asin(0.25 / 1.5))
    before = _with(scene, item("green box", 0.7, 0.0))
    assert visible_width(before, origin, target) == 0.0
    beside = _with(scene, item("green box", 0.7, 0.25))
    assert 0.0 < visible_width(beside, origin, target) < alone
    behind = _with(scene, item("green box", 2.3, 0.0, radius=0.1))
    assert visible_width(behind, origin, target) == pytest.approx(alone)


def test_directions_that_wrap_hide_too(scene: Scene) -> None:
    target = item("red cone", -1.8, 0.0)
    hidden = _with(scene, item("green box", -0.9, 0.01), target)
    assert visible_width(hidden, Pose2D(0.0, 0.0, 0.0), target) == 0.0


def _with(scene: Scene, *more: SceneObject) -> Scene:
    objects = (scene.objects[0], scene.objects[2], *more)
    return Scene(objects, scene.size, scene.floor, scene.walls, scene.lighting, scene.camera, scene.start_pose)


def test_targets_are_neither_reached_nor_hidden(scene: Scene) -> None:
    rng = np.random.default_rng(0)
    pose = at_gap(0.3)
    targets = {sample_task(rng, scene, pose).target for _ in range(100)}
    assert targets == {None, "green ball", "blue box"}
    hidden = _with(scene, item("green box", 0.7, 0.0))
    targets = {sample_task(rng, hidden, Pose2D(0.0, 0.0, 2.0)).target for _ in range(100)}
    assert targets == {None, "green ball", "green box"}


def test_the_next_target_is_often_a_look_alike(scene: Scene) -> None:
    rng = np.random.default_rng(0)
    tasks = [sample_task(rng, scene, scene.start_pose, previous="red box") for _ in range(400)]
    counts = Counter(task.target for task in tasks if task.target)
    assert set(counts) == {"blue box", "green ball"}
    assert counts["blue box"] > 2 * counts["green ball"]


def test_kinds_are_drawn_in_their_shares() -> None:
    tasks = [sample_episode("record", 0, index)[1] for index in range(400)]
    counts = Counter(task.kind for task in tasks)
    assert 0.74 < counts[TaskKind.GO_TO] / 400 < 0.86
    assert counts[TaskKind.TURN_LEFT] > 10
    assert counts[TaskKind.TURN_RIGHT] > 10
    assert counts[TaskKind.STOP] > 3


def test_every_sentence_belongs_to_one_kind_and_is_seen_or_unseen_and_names_its_target() -> None:
    drawn = [sample_episode("evaluate", 1, index) for index in range(100)]
    for scene, task in drawn:
        assert task.instruction in sentences(task.kind, task.target)
        if task.target is not None:
            assert task.target in task.instruction
            assert task.target in {item.name for item in scene.objects}
    everything = [
        sentence
        for unseen in (False, True)
        for kind in PHRASES
        for sentence in sentences(kind, "red box", unseen=unseen)
    ]
    assert len(everything) == len(set(everything))


def test_made_up_words_stand_around_those_that_matter_and_are_drawn_when_asked_for() -> None:
    for kind in TaskKind:
        told = made_up(kind)
        assert len(set(told)) > 250
        assert all(("{target}" in sentence) == (kind is TaskKind.GO_TO) for sentence in told)
        assert set(told).isdisjoint(sentences(kind, "red box", unseen=True))
    assert all(sentence.split()[-1] != "turn" and "left" in sentence for sentence in made_up(TaskKind.TURN_LEFT))
    scene, rng = sample_scene(np.random.default_rng(0)), np.random.default_rng(1)
    drawn = [sample_task(rng, scene, scene.start_pose, made_up_share=0.3) for _ in range(300)]
    strange = [task for task in drawn if task.instruction not in sentences(task.kind, task.target)]
    assert 0.2 < len(strange) / 300 < 0.4
    assert all(task.target is None or f"the {task.target}" in task.instruction for task in strange)


def test_episodes_are_seeded_and_purposes_share_nothing() -> None:
    assert sample_episode("evaluate", 3, 7) == sample_episode("evaluate", 3, 7)
    others = [("record", 3, 7), ("evaluate", 4, 7), ("evaluate", 3, 8), ("views", 7, 3)]
    assert all(sample_episode(*other)[0] != sample_episode("evaluate", 3, 7)[0] for other in others)


def test_no_sentence_of_a_task_that_moves_means_stop() -> None:
    for kind in TaskKind:
        told = [*sentences(kind, "red box"), *sentences(kind, "red box", unseen=True)]
        told += [sentence.format(target="red box") for sentence in made_up(kind)]
        stops = [sentence for sentence in told if sentence in shipped_stop_sentences()]
        if kind is TaskKind.STOP:
            assert {*sentences(kind), *sentences(kind, unseen=True)} <= set(stops)
        else:
            assert stops == []
