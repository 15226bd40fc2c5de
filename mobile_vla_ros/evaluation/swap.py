"""Do the words decide? The same start, two visible objects, and only the object's name in the sentence changed."""

from __future__ import annotations

import math
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from rich.progress import track

from ..sim.scene import Scene, sample_free_pose, sample_scene
from ..sim.task import Task, TaskKind, at_object, bearing, episode_rng
from ..sim.world import World
from .closed_loop import DEFAULT_LATENCY
from .conditions import NOMINAL
from .episode import EpisodeResult
from .series import POLICY, Opening, Run, drive_all

VISIBLE_PIXELS = 40  # of each of the two objects in the first picture
SENTENCE = "go to the {target}"


@dataclass(frozen=True)
class SwapPair:
    """Two runs from one start.

    Attributes:
        first, second: the runs, told to go to one object and to the other.
    """

    first: EpisodeResult
    second: EpisodeResult

    @property
    def changed(self) -> bool:
        """Both runs ended at an object, and not at the same one."""
        return bool(self.first.at) and bool(self.second.at) and set(self.first.at).isdisjoint(self.second.at)

    @property
    def both_right(self) -> bool:
        """Each run ended at the object that it was told."""
        return self.first.target in self.first.at and self.second.target in self.second.at

    @property
    def deaf(self) -> bool:
        """Both runs ended at the same object: the words did nothing."""
        return bool(set(self.first.at) & set(self.second.at))

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        runs = {"first": self.first.to_dict(), "second": self.second.to_dict()}
        return {**runs, "changed": self.changed, "both_right": self.both_right, "deaf": self.deaf}


def swap_test(
    opening: Opening, pairs: int, seed: int, latency: float = DEFAULT_LATENCY, workers: int = 1
) -> list[SwapPair]:
    """Drive `pairs` pairs in rooms of their own random streams.

    Raises:
        PolicyDirectoryError: the policy cannot be loaded.
    """
    runs: list[Run] = []
    for index in track(range(pairs), description="rooms for swapped words"):
        scene, names = sample_swap(episode_rng("swap", seed, index))
        for name in names:
            task = Task(TaskKind.GO_TO, SENTENCE.format(target=name), name)
            runs.append(Run(POLICY, NOMINAL, scene, task, task.instruction, latency, (seed, index)))
    driven = drive_all(opening, {"swapped words": runs}, workers)["swapped words"]
    return [SwapPair(first, second) for first, second in zip(driven[::2], driven[1::2], strict=True)]


def sample_swap(rng: np.random.Generator) -> tuple[Scene, tuple[str, str]]:
    """A room whose start pose shows at least two objects, none of which is reached yet, and two of their names."""
    while True:
        scene = sample_scene(rng)
        for _ in range(20):
            pose = sample_free_pose(rng, scene.size, scene.objects)
            item = scene.objects[int(rng.integers(len(scene.objects)))]
            pose = pose._replace(yaw=pose.yaw + bearing(pose, item) + float(rng.uniform(-0.5, 0.5)))
            candidate = replace(scene, start_pose=pose._replace(yaw=math.remainder(pose.yaw, math.tau)))
            if any(at_object(candidate.start_pose, item) for item in scene.objects):
                continue
            visible = _visible(candidate)
            if len(visible) >= 2:
                first, second = rng.permutation(len(visible))[:2]
                return candidate, (visible[first], visible[second])


def _visible(scene: Scene) -> list[str]:
    with closing(World(scene)) as world:
        labels = np.bincount(world.segment().ravel(), minlength=256)
    return [item.name for number, item in enumerate(scene.objects) if labels[number + 1] >= VISIBLE_PIXELS]
