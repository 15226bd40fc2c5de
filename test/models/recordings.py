"""Small recordings with made-up pictures: enough to read and to overfit."""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from mobile_vla_ros.sim.bag import BagWriter
from mobile_vla_ros.sim.base import Velocity
from mobile_vla_ros.sim.world import CameraIntrinsics

CAMERA = CameraIntrinsics(32, 24, 16.0, 16.0, 16.0, 12.0)
COLOURS = {"red box": (210, 30, 30), "blue ball": (30, 50, 210)}


def write_bag(path: Path, tasks: list[tuple[str, float]], seed: int = 0) -> None:
    """A bag of tasks (sentence, seconds): half the time a turn at (0.3 m/s, 0.5 rad/s), then zero."""
    rng = np.random.default_rng(seed)
    tick = 0
    with BagWriter(path) as bag:
        for instruction, seconds in tasks:
            picture = rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)
            bag.instruction(tick * 0.05 + 0.04, instruction)
            tick += 1
            ticks = round(seconds / 0.05)
            for number in range(ticks):
                if number % 2 == 0:
                    bag.picture(tick * 0.05, picture, CAMERA)
                bag.command(tick * 0.05, Velocity(0.3, 0.5) if number < ticks / 2 else Velocity(0.0, 0.0))
                tick += 1


def write_views(folder: Path, count: int, seed: int = 0) -> None:
    """Views of two classes: a coloured rectangle before a wall and a floor."""
    rng = np.random.default_rng(seed)
    rgb = np.full((count, 24, 32, 3), 150, dtype=np.uint8)
    classes = np.full((count, 24, 32), 255, dtype=np.uint8)
    rgb[:, 12:], classes[:, 12:] = 90, 254
    for view in range(count):
        name = list(COLOURS)[view % 2]
        row, column = int(rng.integers(4, 14)), int(rng.integers(0, 22))
        where = (view, slice(row, row + 8), slice(column, column + 10))
        rgb[where], classes[where] = COLOURS[name], 1 + list(COLOURS).index(name)
    folder.mkdir(parents=True, exist_ok=True)
    save_file({"rgb": rgb, "classes": classes}, folder / "views.safetensors")
    phrases = {name: [f"go to the {name}"] for name in COLOURS}
    index = {"classes": list(COLOURS), "phrases": {**phrases, "": ["turn left", "stop"]}}
    (folder / "views.json").write_text(json.dumps(index))
