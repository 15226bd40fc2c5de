"""Recordings become episodes, episodes become labelled chunks, views become patches."""

import json
from pathlib import Path

import numpy as np
import pytest
from recordings import write_bag, write_views
from tiny import tiny_document

from mobile_vla_models import DataError
from mobile_vla_models.configuration import PolicyConfig
from mobile_vla_models.data.bags import find_bags, read_bag, read_instructions
from mobile_vla_models.data.episode import Episode
from mobile_vla_models.data.views import patch_coverage, read_views
from mobile_vla_models.data.windows import label_chunks

CONFIG = PolicyConfig.model_validate(tiny_document())


def episode(commands: list[tuple[float, float]], end: float) -> Episode:
    stamps = np.arange(len(commands)) * 0.2
    return Episode(
        "test",
        "turn left",
        np.zeros((len(commands), 16, 16, 3), np.uint8),
        stamps,
        stamps + 0.01,
        np.array(commands, np.float32),
        end,
    )


def test_a_finished_episode_is_done_from_its_first_lasting_zero() -> None:
    run = episode([(0.0, 0.0), (0.5, 0.0), (0.5, 0.1), (0.0, 0.0), (0.0, 0.0)], end=1.0)
    labels = label_chunks(run, CONFIG)
    np.testing.assert_array_equal(labels.stop[:, 0], [0, 0, 0, 1, 1])
    np.testing.assert_allclose(labels.velocity[1], [(0.5, 0.0), (0.5, 0.1), (0.0, 0.0)])
    assert labels.mask.all(), "a robot that is done goes on standing still"
    np.testing.assert_array_equal(labels.velocity[4], np.zeros((3, 2)))
    np.testing.assert_array_equal(labels.stop[4], [1, 1, 1])


def test_an_interrupted_episode_is_never_done_and_unknown_past_its_end() -> None:
    labels = label_chunks(episode([(0.5, 0.0), (0.5, 0.0), (0.5, 0.0)], end=0.6), CONFIG)
    assert labels.stop.sum() == 0
    np.testing.assert_array_equal(labels.mask, [[1, 1, 1], [1, 1, 0], [1, 0, 0]])


def test_bags_are_read_as_episodes_at_the_policys_dt(tmp_path: Path) -> None:
    write_bag(tmp_path / "run", [("turn left", 1.0), ("stop", 0.6)])
    assert find_bags(tmp_path) == [tmp_path / "run"]
    assert read_instructions(tmp_path / "run") == ["turn left", "stop"]
    first, second = read_bag(tmp_path / "run", CONFIG.image, dt=0.2)
    assert (first.instruction, second.instruction) == ("turn left", "stop")
    assert first.frames.shape == (5, 16, 16, 3)
    np.testing.assert_allclose(np.diff(first.stamps), 0.2, atol=1e-6)
    np.testing.assert_allclose(first.commands[0], (0.3, 0.5))


def test_an_empty_folder_of_bags_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=str(tmp_path)):
        find_bags(tmp_path)


def test_a_corrupt_bag_is_named(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "metadata.yaml").write_text("rosbag2_bagfile_information: {}")
    with pytest.raises(DataError, match="run"):
        list(read_bag(tmp_path / "run", CONFIG.image, dt=0.2))


def test_patch_coverage_counts_pixels() -> None:
    classes = np.zeros((1, 4, 4), np.uint8)
    classes[0, :2, :2] = 7
    classes[0, 3, 3] = 255
    shares = patch_coverage(classes, grid=2)
    assert shares.shape == (1, 256, 4)
    np.testing.assert_allclose(shares[0, 7], [1, 0, 0, 0])
    np.testing.assert_allclose(shares[0, 255], [0, 0, 0, 0.25])
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)


def test_views_are_read_and_resized(tmp_path: Path) -> None:
    write_views(tmp_path, count=6)
    views = read_views(tmp_path, CONFIG.image)
    assert views.rgb.shape == (6, 16, 16, 3)
    assert views.classes.shape == (6, 16, 16)
    assert set(np.unique(views.classes)) <= {0, 1, 2, 254, 255}


def test_a_class_without_a_sentence_is_named(tmp_path: Path) -> None:
    write_views(tmp_path, count=2)
    path = tmp_path / "views.json"
    document = json.loads(path.read_text())
    del document["phrases"]["red box"]
    path.write_text(json.dumps(document))
    with pytest.raises(DataError, match="red box"):
        read_views(tmp_path, CONFIG.image)
