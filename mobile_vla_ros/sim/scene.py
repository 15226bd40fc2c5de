"""A room with objects: what is in it, where, and how it looks. Plain data, drawn by a seeded generator."""

from __future__ import annotations

import colorsys
import math
from dataclasses import dataclass

import numpy as np

from .base import ROBOT_RADIUS, Pose2D, wrap_angle

COLORS = ("red", "green", "blue", "yellow", "purple", "orange")
SHAPES = ("box", "ball", "cone", "cylinder")
NAMES = tuple(f"{color} {shape}" for color in COLORS for shape in SHAPES)

# Hue (of a turn), saturation and value of each colour, and how far a scene's shade may lie from it.
_HSV = {
    "red": ((0.985, 0.90, 0.80), (0.012, 0.08, 0.12)),
    "orange": ((0.075, 0.95, 0.98), (0.010, 0.05, 0.04)),
    "yellow": ((0.155, 0.90, 0.95), (0.010, 0.08, 0.06)),
    "green": ((0.360, 0.80, 0.60), (0.030, 0.10, 0.12)),
    "blue": ((0.615, 0.85, 0.80), (0.020, 0.10, 0.12)),
    "purple": ((0.790, 0.75, 0.60), (0.020, 0.10, 0.12)),
}
# Footprint radius and height (m); the box's radius is half its diagonal.
_SIZE = {
    "box": (0.20 * math.sqrt(2.0), 0.40),
    "ball": (0.22, 0.44),
    "cone": (0.24, 0.50),
    "cylinder": (0.12, 0.60),
}
_SIZE_VARIATION = 0.15

OBJECT_COUNT = (3, 6)
ROOM_SIZE = (4.0, 5.0)  # m
OBJECT_DISTANCE = 1.2  # m between centres
WALL_DISTANCE = 0.75  # m from an object's centre to a wall
START_CLEARANCE = 0.1  # m from the robot's rim to anything
FLOOR_TEXTURES = ("checker", "planks", "speckle")
WALL_TEXTURES = ("plain", "stripes", "speckle")

Color = tuple[float, float, float]


@dataclass(frozen=True)
class SceneObject:
    """An object that stands on the floor.

    Attributes:
        color: one of COLORS.
        shape: one of SHAPES.
        x, y: m, centre of the footprint in the room frame.
        radius: m, of the circle around the footprint.
        height: m.
        yaw: rad.
        rgb: the shade that it has in this scene, each in [0, 1].
    """

    color: str
    shape: str
    x: float
    y: float
    radius: float
    height: float
    yaw: float
    rgb: Color

    @property
    def name(self) -> str:
        """What people call it: "red box"."""
        return f"{self.color} {self.shape}"


@dataclass(frozen=True)
class Surface:
    """Texture of the floor or the walls: a pattern between two unsaturated colours.

    Attributes:
        texture: one of FLOOR_TEXTURES or WALL_TEXTURES.
        rgb: the two colours.
        repeat: tiles per room side.
    """

    texture: str
    rgb: tuple[Color, Color]
    repeat: float


@dataclass(frozen=True)
class Lighting:
    """Light of a room.

    Attributes:
        ambient: brightness everywhere, [0, 1].
        diffuse: colour of the lamp.
        position: m, of the lamp in the room frame.
    """

    ambient: float
    diffuse: Color
    position: tuple[float, float, float]


@dataclass(frozen=True)
class CameraMount:
    """Where this robot's camera really sits: no two are mounted alike.

    Attributes:
        height: m above the floor.
        pitch: rad, positive looks down.
    """

    height: float
    pitch: float


@dataclass(frozen=True)
class Scene:
    """A room.

    Attributes:
        objects: names are unique; at least two share a colour or a shape.
        size: m, (along x, along y); the origin is in the middle.
        floor, walls: how they look.
        lighting: lamp and ambient light.
        camera: how the robot's camera is mounted.
        start_pose: where the robot stands at first, free of contact.
    """

    objects: tuple[SceneObject, ...]
    size: tuple[float, float]
    floor: Surface
    walls: Surface
    lighting: Lighting
    camera: CameraMount
    start_pose: Pose2D


def sample_scene(rng: np.random.Generator) -> Scene:
    """Draw a room: 3 to 6 objects, look-alikes among them, all far enough apart to drive between."""
    while True:
        size = (float(rng.uniform(*ROOM_SIZE)), float(rng.uniform(*ROOM_SIZE)))
        names = _sample_names(rng, int(rng.integers(OBJECT_COUNT[0], OBJECT_COUNT[1] + 1)))
        places = _sample_places(rng, size, len(names))
        if places is not None:
            break
    objects = tuple(_sample_object(rng, name, x, y) for name, (x, y) in zip(names, places, strict=True))
    return Scene(
        objects=objects,
        size=size,
        floor=_sample_surface(rng, FLOOR_TEXTURES),
        walls=_sample_surface(rng, WALL_TEXTURES),
        lighting=_sample_lighting(rng, size),
        camera=CameraMount(height=float(rng.uniform(0.28, 0.32)), pitch=math.radians(float(rng.uniform(5.0, 11.0)))),
        start_pose=sample_free_pose(rng, size, objects),
    )


def sample_free_pose(rng: np.random.Generator, size: tuple[float, float], objects: tuple[SceneObject, ...]) -> Pose2D:
    """Draw a pose anywhere in the room where the robot touches nothing."""
    while True:
        x, y = (float(rng.uniform(-side / 2, side / 2)) for side in size)
        if is_free(x, y, size, objects):
            return Pose2D(x, y, wrap_angle(float(rng.uniform(-math.pi, math.pi))))


def is_free(x: float, y: float, size: tuple[float, float], objects: tuple[SceneObject, ...]) -> bool:
    """True if the robot's rim at (x, y) is START_CLEARANCE or more from walls and objects."""
    reach = ROBOT_RADIUS + START_CLEARANCE
    if abs(x) > size[0] / 2 - reach or abs(y) > size[1] / 2 - reach:
        return False
    return all(math.hypot(item.x - x, item.y - y) > item.radius + reach for item in objects)


def _sample_names(rng: np.random.Generator, count: int) -> list[str]:
    """Unique names: the first at random, one look-alike of each kind, the rest at random."""
    first = str(rng.choice(NAMES))
    color, shape = first.split()
    same_color = [f"{color} {other}" for other in SHAPES if other != shape]
    same_shape = [f"{other} {shape}" for other in COLORS if other != color]
    names = [first, str(rng.choice(same_color)), str(rng.choice(same_shape))]
    rest = [name for name in NAMES if name not in names]
    names += [str(name) for name in rng.choice(rest, count - len(names), replace=False)]
    return [names[i] for i in rng.permutation(len(names))]


def _sample_places(rng: np.random.Generator, size: tuple[float, float], count: int) -> list[tuple[float, float]] | None:
    """Centres of objects, or None when the room got too full."""
    places: list[tuple[float, float]] = []
    for _ in range(200):
        x, y = (float(rng.uniform(-side / 2 + WALL_DISTANCE, side / 2 - WALL_DISTANCE)) for side in size)
        if all(math.hypot(x - other_x, y - other_y) >= OBJECT_DISTANCE for other_x, other_y in places):
            places.append((x, y))
            if len(places) == count:
                return places
    return None


def _sample_object(rng: np.random.Generator, name: str, x: float, y: float) -> SceneObject:
    color, shape = name.split()
    scale = float(rng.uniform(1.0 - _SIZE_VARIATION, 1.0 + _SIZE_VARIATION))
    radius, height = _SIZE[shape]
    middle, spread = _HSV[color]
    hue, saturation, value = (float(m + rng.uniform(-s, s)) for m, s in zip(middle, spread, strict=True))
    rgb = colorsys.hsv_to_rgb(hue % 1.0, min(saturation, 1.0), min(value, 1.0))
    return SceneObject(color, shape, x, y, radius * scale, height * scale, float(rng.uniform(-math.pi, math.pi)), rgb)


def _sample_surface(rng: np.random.Generator, textures: tuple[str, ...]) -> Surface:
    """A pattern in greys, beiges or browns: never as saturated as an object."""
    hue, saturation = float(rng.uniform(0.05, 0.13)), float(rng.uniform(0.0, 0.22))
    first, contrast = float(rng.uniform(0.35, 0.85)), float(rng.uniform(0.03, 0.2))
    second = first - contrast if first > 0.55 else first + contrast
    colors = (colorsys.hsv_to_rgb(hue, saturation, first), colorsys.hsv_to_rgb(hue, saturation, second))
    return Surface(str(rng.choice(textures)), colors, float(rng.uniform(3.0, 8.0)))


def _sample_lighting(rng: np.random.Generator, size: tuple[float, float]) -> Lighting:
    warmth = float(rng.uniform(-0.06, 0.06))
    strength = float(rng.uniform(0.45, 0.75))
    return Lighting(
        ambient=float(rng.uniform(0.3, 0.5)),
        diffuse=(strength * (1.0 + warmth), strength, strength * (1.0 - warmth)),
        position=(float(rng.uniform(-0.4, 0.4)) * size[0], float(rng.uniform(-0.4, 0.4)) * size[1], 2.6),
    )
