"""Grounding views: pictures of many rooms with every pixel labelled, and sentences that name what is seen."""

from __future__ import annotations

import json
import math
import multiprocessing
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress
from safetensors.numpy import save_file

from .base import Pose2D, wrap_angle
from .scene import NAMES, sample_free_pose, sample_scene
from .task import TaskKind, episode_rng, made_up, sentences
from .world import CAMERA_HEIGHT, CAMERA_WIDTH, FLOOR_LABEL, World

SHARD = 2000  # views in a file
VIEWS_PER_SCENE = 5
MADE_UP_OF_A_NAME = 50  # made-up sentences of each name
MADE_UP_STEP = 20  # of the made-up sentences that name nothing, every such one
FACING_SHARE = 0.8  # of the views look roughly towards an object


def render_views(out_dir: Path, count: int, seed: int, workers: int = 1) -> None:
    """Render views 0 to `count - 1` of the series `seed` into `out_dir`: shards of 2,000, and views.json.

    A shard appears under its name when it is complete; one that is there already is not rendered again.

    Raises:
        ValueError: `count` is not a multiple of 2,000.
        RendererError: the GL library is missing.
    """
    if count <= 0 or count % SHARD:
        raise ValueError(f"count {count} must be a positive multiple of {SHARD}")
    out_dir.mkdir(parents=True, exist_ok=True)
    _write_index(out_dir / "views.json")
    missing = [shard for shard in range(count // SHARD) if not _shard_path(out_dir, seed, shard).exists()]
    # spawn: a renderer's context does not survive a fork.
    context = multiprocessing.get_context("spawn")
    with Progress() as progress, ProcessPoolExecutor(workers, mp_context=context) as pool:
        bar = progress.add_task(f"rendering into {out_dir}", total=len(missing) * SHARD)
        jobs = [pool.submit(render_shard, out_dir, seed, shard) for shard in missing]
        try:
            for job in as_completed(jobs):
                job.result()
                progress.advance(bar, SHARD)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def render_shard(out_dir: Path, seed: int, shard: int) -> None:
    """Render one shard: `rgb` uint8 (2000, 120, 160, 3) and `classes` uint8 (2000, 120, 160)."""
    rgb = np.empty((SHARD, CAMERA_HEIGHT, CAMERA_WIDTH, 3), dtype=np.uint8)
    classes = np.empty((SHARD, CAMERA_HEIGHT, CAMERA_WIDTH), dtype=np.uint8)
    for first in range(0, SHARD, VIEWS_PER_SCENE):
        rng = episode_rng("views", seed, (shard * SHARD + first) // VIEWS_PER_SCENE)
        rows = slice(first, first + VIEWS_PER_SCENE)
        rgb[rows], classes[rows] = _views_of_a_room(rng)
    path = _shard_path(out_dir, seed, shard)
    temporary = path.with_suffix(".part")
    save_file({"rgb": rgb, "classes": classes}, temporary)
    temporary.replace(path)


def _views_of_a_room(rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    scene = sample_scene(rng)
    # From a label of World.segment to a class of views.json: 1 + its index, so that 0 stays "nothing named".
    label = np.arange(256, dtype=np.uint8)
    label[1:FLOOR_LABEL] = 0
    for number, item in enumerate(scene.objects):
        label[number + 1] = NAMES.index(item.name) + 1
    pictures, labels = [], []
    with closing(World(scene, seed=int(rng.integers(2**31)))) as world:
        for _ in range(VIEWS_PER_SCENE):
            pose = sample_free_pose(rng, scene.size, scene.objects)
            if rng.random() < FACING_SHARE:
                item = scene.objects[int(rng.integers(len(scene.objects)))]
                towards = math.atan2(item.y - pose.y, item.x - pose.x)
                pose = Pose2D(pose.x, pose.y, wrap_angle(towards + float(rng.uniform(-0.7, 0.7))))
            world.move_robot(pose)
            pictures.append(world.render())
            labels.append(label[world.segment()])
    return np.stack(pictures), np.stack(labels)


def _write_index(path: Path) -> None:
    phrases = {
        name: [f"the {name}", *sentences(TaskKind.GO_TO, name), *_made_up_of(name, number)]
        for number, name in enumerate(NAMES)
    }
    others = [kind for kind in TaskKind if kind is not TaskKind.GO_TO]
    index = {
        "classes": NAMES,
        "phrases": {
            **phrases,
            "": [text for kind in others for text in (*sentences(kind), *made_up(kind)[::MADE_UP_STEP])],
        },
    }
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    temporary.replace(path)


def _made_up_of(name: str, number: int) -> list[str]:
    # Drawn for each name, so that every made-up word stands beside several names and tells none of them.
    drawn = episode_rng("sentences of views", 0, number).permutation(list(made_up(TaskKind.GO_TO)))
    return [str(text).format(target=name) for text in drawn[:MADE_UP_OF_A_NAME]]


def _shard_path(out_dir: Path, seed: int, shard: int) -> Path:
    return out_dir / f"seed{seed}_{shard:05d}.safetensors"
