"""Which instructions a room is good for, and what sentences mean in it."""

import numpy as np
import pytest

from mobile_vla_ros.demo.errors import DemoError
from mobile_vla_ros.demo.tasks import choose_tasks, read_task
from mobile_vla_ros.sim.scene import Scene, sample_scene
from mobile_vla_ros.sim.task import TaskKind, sentences


def test_chosen_tasks_are_two_look_alikes_and_a_turn() -> None:
    chosen = 0
    for seed in range(30):
        scene = sample_scene(np.random.default_rng(seed))
        try:
            first, second, turn = choose_tasks(scene)
        except DemoError:
            continue
        chosen += 1
        assert first.target is not None
        assert second.target is not None
        assert len(set(first.target.split()) & set(second.target.split())) == 1
        assert {first.target, second.target} <= {item.name for item in scene.objects}
        assert turn.kind is TaskKind.TURN_LEFT
    assert chosen > 20


def test_sentences_are_read_back(scene: Scene) -> None:
    for kind in TaskKind:
        targets = [item.name for item in scene.objects] if kind is TaskKind.GO_TO else [None]
        for target in targets:
            for sentence in (*sentences(kind, target), *sentences(kind, target, unseen=True)):
                task = read_task(sentence, scene)
                assert (task.kind, task.target, task.instruction) == (kind, target, sentence)


def test_case_and_full_stop_do_not_matter(scene: Scene) -> None:
    name = scene.objects[0].name
    assert read_task(f"Go to the {name.upper()}.", scene).target == name


def test_what_cannot_be_judged_is_refused_with_the_names_of_the_room(scene: Scene) -> None:
    first, second = scene.objects[0].name, scene.objects[1].name
    for sentence in ("go to the pink unicorn", "", "sing", f"go from the {first} to the {second}"):
        with pytest.raises(DemoError, match=f"{first}.*turn left"):
            read_task(sentence, scene)
