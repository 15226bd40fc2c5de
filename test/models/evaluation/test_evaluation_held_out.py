"""Episodes that a policy was trained on do not judge it."""

from pathlib import Path

import pytest
from recordings import write_bag
from tiny import tiny_policy

from mobile_vla_models.data.configuration import Rosbag2Source
from mobile_vla_models.data.mark import mark
from mobile_vla_models.data.sources import open_source
from mobile_vla_models.errors import DataError, PolicyDirectoryError
from mobile_vla_models.evaluation.held_out import read_held_out

CAMERAS = {"front": "/camera/image_raw"}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Rosbag2Source:
    folder = tmp_path_factory.mktemp("bags")
    for number, name in enumerate(("one", "two")):
        write_bag(folder / name, [("turn left", 2.0), ("go to the red box", 1.6)], seed=number)
    return Rosbag2Source(type="rosbag2", path=folder, cameras=CAMERAS)


def policy(folder: Path, marks: object) -> Path:
    tiny_policy().save_pretrained(folder, {"data": {"trained_on": marks}} if marks is not None else {}, "# tiny\n")
    return folder


def test_what_one_of_the_policies_was_trained_on_is_left_out(source: Rosbag2Source, tmp_path: Path) -> None:
    episodes = open_source(source)
    marks = [mark(episode) for episode in episodes]
    assert len(set(marks)) == 4
    first, second = policy(tmp_path / "first", marks[:1]), policy(tmp_path / "second", [marks[2], "000000000000"])
    held_out = read_held_out(source, (first, second))
    assert [one.source for one in held_out.episodes] == [episodes[1].source, episodes[3].source]
    assert held_out.text == f"2 episodes of {source.path}, without 2 that were trained on"


def test_a_policy_that_does_not_say_what_it_saw_is_named(source: Rosbag2Source, tmp_path: Path) -> None:
    held_out = read_held_out(source, (policy(tmp_path / "first", None),))
    assert len(held_out.episodes) == 4
    assert held_out.text.endswith(f"; whether {tmp_path / 'first'} saw them in training is not known")


def test_data_without_anything_new_is_refused(source: Rosbag2Source, tmp_path: Path) -> None:
    saw_all = policy(tmp_path / "first", [mark(episode) for episode in open_source(source)])
    with pytest.raises(DataError, match="every one of its 4 episodes was trained on"):
        read_held_out(source, (saw_all,))


def test_marks_that_are_no_strings_are_refused(source: Rosbag2Source, tmp_path: Path) -> None:
    with pytest.raises(PolicyDirectoryError, match=r"data\.trained_on must be a list of strings"):
        read_held_out(source, (policy(tmp_path / "first", [1]),))
