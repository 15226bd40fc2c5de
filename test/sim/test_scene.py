"""Rooms as they are drawn."""

import colorsys
import math
from itertools import combinations

import numpy as np
import pytest

from mobile_vla_ros.sim.base import ROBOT_RADIUS
from mobile_vla_ros.sim.scene import COLORS, NAMES, Scene, is_free, sample_scene


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [sample_scene(np.random.default_rng(seed)) for seed in range(300)]


def test_the_same_seed_gives_the_same_room(scenes: list[Scene]) -> None:
    assert sample_scene(np.random.default_rng(7)) == scenes[7]
    assert scenes[7] != scenes[8]


def test_objects_have_unique_names_and_look_alikes_of_both_kinds(scenes: list[Scene]) -> None:
    for scene in scenes:
        pairs = list(combinations(scene.objects, 2))
        assert 3 <= len(scene.objects) <= 6
        assert len({item.name for item in scene.objects}) == len(scene.objects)
        assert any(one.color == other.color for one, other in pairs)
        assert any(one.shape == other.shape for one, other in pairs)
    assert {item.name for scene in scenes for item in scene.objects} == set(NAMES)


def test_there_is_room_to_drive(scenes: list[Scene]) -> None:
    for scene in scenes:
        assert all(4.0 <= side <= 5.0 for side in scene.size)
        for one, other in combinations(scene.objects, 2):
            assert math.hypot(one.x - other.x, one.y - other.y) >= 1.2
        for item in scene.objects:
            assert abs(item.x) <= scene.size[0] / 2 - 0.75
            assert abs(item.y) <= scene.size[1] / 2 - 0.75


def test_starts_touch_nothing(scenes: list[Scene]) -> None:
    for scene in scenes:
        x, y, yaw = scene.start_pose
        assert is_free(x, y, scene.size, scene.objects)
        assert -math.pi < yaw <= math.pi
    item = scenes[0].objects[0]
    beside = item.x + item.radius + ROBOT_RADIUS
    assert not is_free(beside, item.y, scenes[0].size, scenes[0].objects)


def test_shades_of_different_colors_stay_apart_in_hue(scenes: list[Scene]) -> None:
    hues: dict[str, list[float]] = {color: [] for color in COLORS}
    for scene in scenes:
        for item in scene.objects:
            hue, saturation, value = colorsys.rgb_to_hsv(*item.rgb)
            assert saturation >= 0.6
            assert value >= 0.4
            hues[item.color].append(hue)
    for one, other in combinations(COLORS, 2):
        apart = [abs((a - b + 0.5) % 1.0 - 0.5) for a in hues[one] for b in hues[other]]
        assert min(apart) > 0.05, (one, other)


def test_floors_and_walls_are_never_as_colorful_as_objects(scenes: list[Scene]) -> None:
    for scene in scenes:
        for surface in (scene.floor, scene.walls):
            assert all(colorsys.rgb_to_hsv(*rgb)[1] <= 0.25 for rgb in surface.rgb)
