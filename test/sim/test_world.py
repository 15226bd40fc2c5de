"""The world: what the camera shows is where the geometry says, and what is solid stops the robot."""

import dataclasses
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing

import numpy as np
import pytest

from mobile_vla_ros.sim.base import ROBOT_RADIUS, Pose2D, Velocity
from mobile_vla_ros.sim.scene import CameraMount, Scene, SceneObject, sample_scene
from mobile_vla_ros.sim.world import CAMERA_FORWARD, FLOOR_LABEL, LIDAR_HEIGHT, LIDAR_RAYS, WALL_LABEL, World

PITCH, HEIGHT = math.radians(8.0), 0.3
AHEAD = 1.5  # m from the robot's centre to the object
RGB = {"red": (0.8, 0.1, 0.1), "blue": (0.1, 0.2, 0.8)}


def item(shape: str, color: str = "red", x: float = AHEAD, y: float = 0.0) -> SceneObject:
    radius, height = {"box": (0.28, 0.4), "ball": (0.22, 0.44), "cone": (0.24, 0.5), "cylinder": (0.12, 0.6)}[shape]
    return SceneObject(color, shape, x, y, radius, height, 0.0, RGB[color])


def room(*objects: SceneObject) -> Scene:
    drawn = sample_scene(np.random.default_rng(3))
    return dataclasses.replace(
        drawn,
        objects=objects,
        size=(5.0, 4.0),
        camera=CameraMount(HEIGHT, PITCH),
        start_pose=Pose2D(0.0, 0.0, 0.0),
    )


@pytest.fixture(params=["box", "ball", "cone", "cylinder"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """One red object, 1.5 m straight ahead."""
    with closing(World(room(item(request.param)))) as built:
        yield built


def row_of(world: World, forward: float, up: float) -> float:
    """Picture row of a point straight ahead: m before the camera, m above the floor."""
    camera = world.camera_info()
    above = up - HEIGHT
    depth = forward * math.cos(PITCH) - above * math.sin(PITCH)
    return camera.cy - camera.fy * (above * math.cos(PITCH) + forward * math.sin(PITCH)) / depth


def test_a_scan_shows_what_is_around_the_robot(world: World) -> None:
    scan = world.scan()
    assert (scan.dtype, scan.shape) == (np.dtype(np.float32), (LIDAR_RAYS,))
    thing = world.scene.objects[0]
    level = LIDAR_HEIGHT / thing.height
    half = {
        "box": thing.radius / math.sqrt(2.0),
        "ball": math.sqrt((thing.height / 2.0) ** 2 - (thing.height / 2.0 - LIDAR_HEIGHT) ** 2),
        "cone": thing.radius * (1.0 - level),
        "cylinder": thing.radius,
    }[thing.shape]
    ahead, left, behind, right = (float(scan[number]) for number in (180, 270, 0, 90))
    assert ahead == pytest.approx(AHEAD - half, abs=0.01)
    assert (left, behind, right) == pytest.approx((2.0, 2.5, 2.0), abs=1e-3)
    world.move_robot(Pose2D(0.5, 0.25, math.pi / 2))
    turned = world.scan()
    assert (float(turned[180]), float(turned[270]), float(turned[0])) == pytest.approx((1.75, 3.0, 2.25), abs=1e-3)


def test_what_is_beyond_the_range_of_the_scanner_is_infinitely_far() -> None:
    with closing(World(dataclasses.replace(room(), size=(30.0, 4.0)))) as wide:
        scan = wide.scan()
    assert scan[180] == scan[0] == math.inf
    assert float(scan[270]) == pytest.approx(2.0, abs=1e-3)


def test_pictures_have_the_promised_form(world: World) -> None:
    rgb, labels = world.render(), world.segment()
    assert (rgb.dtype, rgb.shape) == (np.dtype(np.uint8), (120, 160, 3))
    assert (labels.dtype, labels.shape) == (np.dtype(np.uint8), (120, 160))
    assert {1, FLOOR_LABEL, WALL_LABEL} <= set(np.unique(labels).tolist()) <= {0, 1, FLOOR_LABEL, WALL_LABEL}
    assert (labels[-1] == FLOOR_LABEL).all()


def test_labels_lie_on_the_object_that_is_seen(world: World) -> None:
    rgb, shown = world.render().astype(int), world.segment() == 1
    redness = rgb[:, :, 0] - rgb[:, :, 1:].max(axis=2)
    assert redness[shown].min() > 30
    assert redness[~shown].max() < 40


def test_objects_stand_on_the_floor_at_their_place(world: World) -> None:
    rows, columns = np.nonzero(world.segment() == 1)
    thing = world.scene.objects[0]
    distance = AHEAD - CAMERA_FORWARD
    assert (columns.min() + columns.max()) / 2.0 == pytest.approx(79.5, abs=1.0)
    if thing.shape in ("cone", "cylinder"):  # their lowest visible point is the near edge of the base
        assert rows.max() + 1 == pytest.approx(row_of(world, distance - thing.radius, 0.0), abs=1.5)
    if thing.shape == "cone":
        assert rows.min() == pytest.approx(row_of(world, distance, thing.height), abs=2.0)


def test_left_is_left(world: World) -> None:
    world.move_robot(Pose2D(0.0, 0.0, -0.4))
    assert np.nonzero(world.segment() == 1)[1].mean() < 60
    world.move_robot(Pose2D(0.0, 0.0, 0.4))
    assert np.nonzero(world.segment() == 1)[1].mean() > 100


def test_an_object_in_the_way_blocks_and_is_named(world: World) -> None:
    for _ in range(60):
        world.command(0.5, 0.0)
        world.step(0.1)
    thing = world.scene.objects[0]
    reach = ROBOT_RADIUS + thing.radius / (math.sqrt(2.0) if thing.shape == "box" else 1.0)
    assert world.touched == thing.name
    assert world.velocity == Velocity(0.0, 0.0)
    assert world.pose.x == pytest.approx(AHEAD - reach, abs=0.02)


@pytest.mark.parametrize("yaw", [0.0, math.pi / 2, math.pi, -math.pi / 2])
def test_walls_block_on_all_sides(yaw: float) -> None:
    with closing(World(room(item("box", x=1.8, y=1.3)))) as world:
        world.move_robot(Pose2D(0.0, 0.0, yaw))
        for _ in range(60):
            world.command(0.5, 0.0)
            world.step(0.1)
        assert world.touched == "wall"
        along = abs(world.pose.x) if yaw in (0.0, math.pi) else abs(world.pose.y)
        half = 2.5 if yaw in (0.0, math.pi) else 2.0
        assert along == pytest.approx(half - ROBOT_RADIUS, abs=0.01)


def test_the_same_seed_gives_the_same_pictures() -> None:
    scene = sample_scene(np.random.default_rng(5))
    with closing(World(scene, seed=1)) as one, closing(World(scene, seed=1)) as other:
        np.testing.assert_array_equal(one.render(), other.render())


def test_worlds_open_at_once_do_not_mix() -> None:
    with closing(World(room(item("box")))) as red, closing(World(room(item("ball", "blue")))) as blue:
        first = red.render()
        np.testing.assert_array_equal(blue.segment(), blue.segment())
        blue.render()
        np.testing.assert_array_equal(red.render(), first)
    with closing(World(room(item("box")))) as again:
        np.testing.assert_array_equal(again.render(), first)


def test_the_top_view_shows_things_at_their_pixel() -> None:
    with closing(World(room(item("cylinder", x=1.5, y=1.0)))) as world:
        column, row = world.top_view_pixel(1.5, 1.0)
        before = world.top_view().astype(int)
        assert column > 240 > row
        red, green, blue = before[round(row), round(column)]
        assert red > max(green, blue) + 30
        world.move_robot(Pose2D(-1.0, -1.0, 0.0))
        column, row = world.top_view_pixel(-1.0, -1.0)
        assert np.abs(world.top_view().astype(int) - before)[round(row), round(column)].max() > 30


def test_the_camera_does_not_see_the_robot(world: World) -> None:
    assert 0 not in world.segment()[60:]


@pytest.mark.parametrize("duration", [0.005, -0.01])
def test_refuses_broken_steps(world: World, duration: float) -> None:
    with pytest.raises(ValueError, match="multiple"):
        world.step(duration)


@pytest.mark.parametrize(("backend", "expected"), [("osmesa", "libosmesa6"), ("nonsense", "MUJOCO_GL is 'nonsense'")])
def test_a_missing_renderer_is_named(backend: str, expected: str) -> None:
    script = (
        "import ctypes.util, numpy\n"
        "ctypes.util.find_library = lambda name: None\n"
        "from mobile_vla_ros.sim.scene import sample_scene\n"
        "from mobile_vla_ros.sim.world import World\n"
        "World(sample_scene(numpy.random.default_rng(0))).render()\n"
    )
    environment = {**os.environ, "MUJOCO_GL": backend}
    environment.pop("PYOPENGL_PLATFORM", None)
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert done.returncode != 0
    assert "RendererError" in done.stderr.splitlines()[-1]
    assert expected in done.stderr.splitlines()[-1]
