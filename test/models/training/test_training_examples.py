"""Windows as batches: the same from pictures and from kept features, and augmented as a whole."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from recorded_for_training import EPISODES, config, policy

from mobile_vla_models import DataError, TrainingConfigError
from mobile_vla_models.data.augmentation import AugmentationConfig
from mobile_vla_models.data.features import _MAPPED, FeatureCache, identity
from mobile_vla_models.training.examples import ExampleBatches, PictureExamples, index_frames
from mobile_vla_models.training.frozen import FrozenTowers, swap_instructions
from mobile_vla_models.training.imitation import FeatureObjective, PictureObjective, constant_action, measure
from mobile_vla_models.training.sampling import Order
from mobile_vla_models.training.tasks import ActionTaskConfig

NOTHING = dict.fromkeys(("brightness", "contrast", "saturation", "hue", "blur", "shift", "rotation", "crop"), 0.0)
MIRROR = AugmentationConfig.model_validate({**NOTHING, "mirror": True})
COLOUR = AugmentationConfig.model_validate({**NOTHING, "brightness": 0.5, "mirror": False})
INDEX = index_frames(EPISODES, config())
TASK = ActionTaskConfig(weight=1.0, loss="huber", binary_weight=0.5)
NEWEST = np.array([0, 3, 9, 12, 25])


def test_a_window_is_what_the_robot_would_have_seen() -> None:
    """The first frames of a run have a short history; labels are those of the action spec's range."""
    windows = PictureExamples(INDEX, None).windows(np.array([1, 11]), None)
    assert windows.pictures.shape == (2, 4, 1, 16, 16, 3)
    assert windows.newest.tolist() == [1, 1]
    assert windows.instructions == ("turn left", "go to the red box")
    assert windows.origin == ("run0#0 at 0.200 s", "run1#0 at 0.200 s")
    assert not windows.pictures[:, 2:].any(), "past the newest frame there is nothing"
    assert windows.mask[:, :2].all()
    assert not windows.mask[:, 2:].any()
    expected = np.array([[0.2, 0.16], [0.2, 0.22], [0.2, 0.28]]) / [0.6, 1.2]
    np.testing.assert_allclose(windows.continuous[0, 1], expected, atol=1e-6)


def test_batches_are_functions_of_seed_and_step() -> None:
    def batches(seed: int) -> ExampleBatches:
        return ExampleBatches(PictureExamples(INDEX, COLOUR), Order(INDEX.usable, None, seed), 6, seed)

    whole = batches(3)(5, 0, 1)
    batches(3)(1, 0, 2)
    halves = [batches(3)(5, part, 2) for part in (0, 1)]
    assert whole.origin == halves[0].origin + halves[1].origin
    assert torch.equal(whole.pictures, torch.cat([half.pictures for half in halves]))
    assert torch.equal(whole.pictures, batches(3)(5, 0, 1).pictures)
    assert not torch.equal(whole.pictures, batches(4)(5, 0, 1).pictures)


def test_a_mirrored_window_is_mirrored_throughout() -> None:
    examples = PictureExamples(INDEX, MIRROR)
    plain = examples.windows(np.repeat(NEWEST[1:2], 16), None)
    drawn = examples.windows(np.repeat(NEWEST[1:2], 16), [(0, row) for row in range(16)])
    said = np.array(drawn.instructions)
    mirrored = torch.from_numpy(said == "turn right")
    assert 0 < int(mirrored.sum()) < 16
    assert set(said) == {"turn left", "turn right"}
    assert torch.equal(drawn.pictures[~mirrored], plain.pictures[~mirrored])
    assert torch.equal(drawn.pictures[mirrored], plain.pictures[mirrored].flip(-2))
    signs = torch.tensor([1.0, -1.0])
    torch.testing.assert_close(drawn.continuous[mirrored], plain.continuous[mirrored] * signs)
    assert torch.equal(drawn.binary, plain.binary)


def test_all_pictures_of_a_window_look_alike() -> None:
    grey = replace(EPISODES[0], cameras={"front": Grey()})
    windows = PictureExamples(index_frames([grey], config()), COLOUR).windows(np.array([5, 5]), [(1,), (2,)])
    levels = [set(window.unique().tolist()) for window in windows.pictures]
    assert all(len(level) == 1 for level in levels)
    assert levels[0] != levels[1]


class Grey:
    stamps = np.arange(20) * 0.1
    received = None

    def read(self, rows: Any) -> list[np.ndarray]:
        return [np.full((12, 16, 3), 100, np.uint8) for _ in rows]


def towers(folder: Path, seed: int = 0) -> FrozenTowers:
    made = policy(seed)
    return FrozenTowers(made.model.eval(), made.encoder, folder)


def test_kept_features_give_what_pictures_give(tmp_path: Path) -> None:
    made = policy()
    model = made.model.eval()
    kept = FrozenTowers(model, made.encoder, tmp_path).examples(INDEX, None, 0, 0)
    for frames in (NEWEST, NEWEST[::-1].copy()):
        pictures = PictureExamples(INDEX, None).windows(frames, None)
        features = kept.windows(frames, None)
        assert features.origin == pictures.origin
        with torch.no_grad():
            one = PictureObjective(model, made.encoder, TASK).eval()(pictures)
            other = FeatureObjective(model, TASK).eval()(features)
        counts = pictures.mask[..., None]
        for name, value in one.items():
            if value.dim():  # what stands past the newest frame is nothing
                torch.testing.assert_close(value * counts, other[name] * counts, atol=2e-3, rtol=0)
            else:
                torch.testing.assert_close(value, other[name], atol=1e-3, rtol=0)


def test_the_mirrored_version_is_kept_beside_the_plain_one(tmp_path: Path) -> None:
    made = policy()
    model = made.model.eval()
    found = FrozenTowers(model, made.encoder, tmp_path)
    kept = found.examples(INDEX, MIRROR, 0, 0)
    assert found.computed == 2 * len(EPISODES)
    frames = np.repeat(NEWEST[1:2], 16)
    drawn = kept.windows(frames, [(0, row) for row in range(16)])
    mirrored = drawn.continuous[:, 0, 0, 1] < 0
    assert 0 < int(mirrored.sum()) < 16
    # A look of its own for each row in the end, but of the same two versions.
    pictures = PictureExamples(INDEX, MIRROR).windows(frames, [(7, row) for row in range(16)])
    flipped = pictures.continuous[:, 0, 0, 1] < 0
    with torch.no_grad():
        one = PictureObjective(model, made.encoder, TASK).eval()(pictures)["answered_continuous"][flipped][0]
        other = FeatureObjective(model, TASK).eval()(drawn)["answered_continuous"][mirrored][0]
    torch.testing.assert_close(one, other, atol=2e-3, rtol=0)


def test_what_is_kept_is_computed_once_and_never_read_for_something_else(tmp_path: Path) -> None:
    def computed(found: FrozenTowers, episodes: Any = EPISODES, **changes: Any) -> int:
        found.examples(index_frames(episodes, config(**changes)), None, 0, 0)
        return found.computed

    assert computed(towers(tmp_path)) == 3
    assert computed(towers(tmp_path)) == 0
    assert computed(towers(tmp_path), chunk=2, window=2) == 0, "they are of single frames"
    assert computed(towers(tmp_path, seed=1)) == 3, "other weights"
    assert computed(towers(tmp_path), dt=0.1) == 3, "other frames"
    others = [replace(EPISODES[0], instruction="stop"), *EPISODES[1:]]
    assert computed(towers(tmp_path), others) == 1
    made = policy()
    made.model.config = made.model.config.model_copy(
        update={"image": made.model.config.image.model_copy(update={"mean": (0.4, 0.5, 0.5)})}
    )
    assert computed(FrozenTowers(made.model.eval(), made.encoder, tmp_path)) == 3, "other preprocessing"
    looks = towers(tmp_path)
    looks.examples(INDEX, COLOUR, 2, seed=0)
    assert looks.computed == 6, "two looks beside the plain one"
    looks.examples(INDEX, COLOUR.model_copy(update={"brightness": 0.4}), 1, seed=0)
    assert looks.computed == 9


def test_head_and_fusion_are_no_part_of_what_is_kept(tmp_path: Path) -> None:
    made = policy()
    FrozenTowers(made.model.eval(), made.encoder, tmp_path).examples(INDEX, None, 0, 0)
    with torch.no_grad():
        for part in (made.model.head, made.model.fusion):
            for parameter in part.parameters():
                parameter.add_(1.0)
    again = FrozenTowers(made.model.eval(), made.encoder, tmp_path)
    again.examples(INDEX, None, 0, 0)
    assert again.computed == 0


def test_a_damaged_file_is_named_and_not_read(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, "towers", {"a": 2})
    kept = cache.kept(3, "frames", lambda: np.ones((3, 2), np.float32))
    whole = kept.path.read_bytes()
    fresh = FeatureCache(tmp_path, "towers", {"a": 2})
    for damaged in (whole[:-1], whole[:20], b""):
        moved = kept.path.with_name("x")
        kept.path.rename(moved)
        kept.path.write_bytes(damaged)
        _MAPPED.clear()
        with pytest.raises(DataError, match=r"\.npy: not readable .*delete it"):
            fresh.kept(3, "frames", lambda: np.ones((3, 2), np.float32))
        moved.rename(kept.path)
    _MAPPED.clear()
    with pytest.raises(DataError, match=r"holds float16 \(3, 2\), expected float16 \(4, 2\)"):
        fresh.kept(4, "frames", lambda: np.ones((4, 2), np.float32))


def test_what_float16_cannot_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not finite as float16"):
        FeatureCache(tmp_path, "towers", {"a": 1}).kept(1, "frames", lambda: np.full((1, 1), 7e4, np.float32))
    assert not list(tmp_path.rglob("*.npy"))


def test_a_file_of_pictures_that_was_written_anew_is_another(tmp_path: Path) -> None:
    file = tmp_path / "pictures"
    file.write_bytes(b"abc")
    stored = Stored(file)
    before = identity(stored, np.arange(2))
    assert before == identity(Stored(file), np.arange(2))
    assert before != identity(stored, np.arange(3))
    os.utime(file, ns=(1, 1))
    assert before != identity(stored, np.arange(2))


class Stored:
    stamps = np.arange(4) * 0.1
    received = None

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, rows: Any) -> list[np.ndarray]:
        return []


@pytest.mark.parametrize("history", ["pre", "video"])
def test_features_that_are_not_of_single_frames_are_not_kept(tmp_path: Path, history: str) -> None:
    made = policy()
    made.model.config = made.model.config.model_copy(update={"history": history})
    with pytest.raises(TrainingConfigError, match="nothing of a single frame can be kept"):
        FrozenTowers(made.model, made.encoder, tmp_path)


def test_errors_stand_beside_those_of_a_constant(tmp_path: Path) -> None:
    made = policy()
    model = made.model.eval()
    constant = constant_action(INDEX)
    with torch.no_grad():
        found = measure(
            PictureObjective(model, made.encoder, TASK).eval(), PictureExamples(INDEX, None), INDEX.usable, constant
        )
    true = INDEX.continuous[INDEX.usable, 0]
    np.testing.assert_allclose(found["linear_x_constant"], np.abs(true[:, 0] - constant[0]).mean(), rtol=1e-5)
    first = made.step(EPISODES[0].cameras["front"].read([0])[0], "turn left").continuous[0]
    alone = measure(
        PictureObjective(model, made.encoder, TASK).eval(), PictureExamples(INDEX, None), np.array([0]), constant
    )
    np.testing.assert_allclose(alone["angular_z"], abs(first[1] - INDEX.continuous[0, 0, 1]), rtol=1e-3)


def test_swapped_words_differ_and_frames_do_not() -> None:
    swapped = swap_instructions(INDEX)
    pairs = [
        (one.episode.instruction, other.episode.instruction)
        for one, other in zip(INDEX.timelines, swapped.timelines, strict=True)
    ]
    assert all(one != other for one, other in pairs)
    np.testing.assert_array_equal(INDEX.continuous, swapped.continuous)


def test_a_video_is_never_filled_up() -> None:
    index = index_frames(EPISODES, config(history="video", fusion=None, clip=None))
    windows = PictureExamples(index, None).windows(index.usable, None)
    assert (windows.newest == 3).all()
    assert not windows.mask[:, :-1].any()
    with pytest.raises(DataError, match="hold no window of 40 frames"):
        index_frames(EPISODES, config(history="video", fusion=None, clip=None, window=40))
