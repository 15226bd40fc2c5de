"""HDF5 episodes of the mobile VLA recorder: nothing in them that a file does not say is taken for granted."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pytest
from runs import all_frames, noise, write_h5

from mobile_vla_models import DataError
from mobile_vla_models.data.configuration import Hdf5Source
from mobile_vla_models.data.sources import open_source

FRAMES = noise(6)
ACTIONS = np.random.default_rng(1).uniform(-1.15, 1.15, (6, 3)).astype(np.float32)
EVENTS = ["episode_start", *["start_action"] * 4, "stop_action"]
COLUMNS = [
    {"name": "linear_x", "unit": "m/s", "scale": 1.0},
    {"name": "linear_y", "unit": "m/s", "scale": 1.0},
    {"name": "angular_z", "unit": "rad/s", "scale": 1.0},
]
LEFT = "왼쪽 외곽으로 돌아 컵까지 가세요"
SCENARIOS = {"type": "scenario", "instructions": {"1box_left": LEFT, "2box": "go to the cup"}}


def source(path: Path, **changes: object) -> Hdf5Source:
    base = {
        "type": "hdf5",
        "path": path,
        "cameras": {"front": ["images", "observations/images"]},
        "color": "bgr",
        "dt": 0.78,
        "actions": {"key": "actions", "columns": COLUMNS},
        "episode_start": "keep",
        "instruction": SCENARIOS,
    }
    return Hdf5Source.model_validate({**base, **changes})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_h5(tmp_path / "episode_20250815_123456_1box_left_core.h5", FRAMES, ACTIONS, events=EVENTS)


@pytest.mark.parametrize("key", ["images", "observations/images"])
def test_both_layouts(tmp_path: Path, key: str) -> None:
    path = write_h5(tmp_path / "episode_20250815_123456_2box.h5", FRAMES, ACTIONS, key=key)
    [episode] = open_source(source(path))
    np.testing.assert_array_equal(all_frames(episode.cameras["front"]), FRAMES, "stored BGR, read RGB")
    assert episode.cameras["front"].received is None
    assert episode.source == "episode_20250815_123456_2box#0"
    assert episode.instruction == "go to the cup"
    assert episode.actions.names == ("linear_x", "linear_y", "angular_z")
    np.testing.assert_array_equal(episode.actions.values, ACTIONS, strict=True)
    assert episode.actions.stamps.tolist() == [0.0, 0.78, 1.56, 2.34, 3.12, 3.9]
    assert (episode.begin, episode.end) == (0.0, 4.68)


def test_frames_in_the_order_asked_for(file: Path) -> None:
    pictures = open_source(source(file))[0].cameras["front"]
    read = pictures.read([5, 0, 5])
    assert all(np.array_equal(frame, FRAMES[row]) for frame, row in zip(read, [5, 0, 5], strict=True))
    with pytest.raises(IndexError):
        pictures.read([6])


def test_the_start_frame_is_kept_or_dropped_as_told(file: Path) -> None:
    [kept] = open_source(source(file))
    [dropped] = open_source(source(file, episode_start="drop"))
    assert len(kept.actions) == 6
    np.testing.assert_array_equal(dropped.actions.values, ACTIONS[1:])
    np.testing.assert_array_equal(all_frames(dropped.cameras["front"]), FRAMES[1:])
    assert dropped.actions.stamps[0] == dropped.cameras["front"].stamps[0] == dropped.begin == 0.0


@pytest.mark.parametrize(
    ("events", "message"),
    [
        (None, "no action_event_types, so its start frame is not known: set episode_start: keep"),
        (["episode_start", "jump", *["stop_action"] * 4], "holds 'jump', expected episode_start, start_action, stop"),
        (["start_action", "episode_start", *["stop_action"] * 4], "episode_start in row 1"),
    ],
)
def test_events_that_do_not_say_where_it_starts(tmp_path: Path, events: list[str] | None, message: str) -> None:
    path = write_h5(tmp_path / "episode_20250815_123456_2box.h5", FRAMES, ACTIONS, events=events)
    with pytest.raises(DataError, match=message):
        open_source(source(path, episode_start="drop"))


def test_a_scale_makes_si_units(file: Path) -> None:
    columns = [*COLUMNS[:2], {"name": "angular_z", "unit": "rad/s", "scale": np.pi / 180}]
    [episode] = open_source(source(file, actions={"key": "actions", "columns": columns}))
    np.testing.assert_array_equal(episode.actions.values[:, :2], ACTIONS[:, :2])
    np.testing.assert_allclose(episode.actions.values[:, 2], np.radians(ACTIONS[:, 2]), rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "scenario"),
    [
        ("episode_20250815_123456_1box_left.h5", True),
        ("episode_20250815_123456_1box_left_core.h5", True),
        ("episode_20250815_123456_1box_left_variant_close.h5", True),
        ("episode_20250815_123456_1box_left_variant_near.h5", False),
        ("episode_20250815_1box_left.h5", False),
        ("run.h5", False),
    ],
)
def test_the_scenario_stands_in_the_name_of_the_file(tmp_path: Path, name: str, scenario: bool) -> None:
    path = write_h5(tmp_path / name, FRAMES, ACTIONS)
    if scenario:
        assert open_source(source(path))[0].instruction == LEFT
    else:
        with pytest.raises(DataError, match=f"{name}: (scenario '.*' is not among|expected a name like)"):
            open_source(source(path))


def test_the_sentence_may_be_in_the_file(tmp_path: Path) -> None:
    path = write_h5(tmp_path / "a.h5", FRAMES, ACTIONS, sentence="컵으로 가")
    assert open_source(source(path, instruction={"type": "dataset"}))[0].instruction == "컵으로 가"
    write_h5(tmp_path / "b.h5", FRAMES, ACTIONS, sentence=" ")
    with pytest.raises(DataError, match=r"b\.h5: language_instruction is empty"):
        open_source(source(tmp_path / "b.h5", instruction={"type": "dataset"}))


def test_a_folder_of_files_is_read_in_order(tmp_path: Path) -> None:
    for number in (2, 1):
        write_h5(tmp_path / f"episode_2025081{number}_123456_2box.h5", FRAMES, ACTIONS)
    (tmp_path / "notes.txt").write_text("of the day")
    found = open_source(source(tmp_path))
    assert [episode.recording for episode in found] == ["episode_20250811_123456_2box", "episode_20250812_123456_2box"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty holds no HDF5 file"):
        open_source(source(tmp_path / "empty"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cameras": {"front": "pictures"}}, "no dataset 'pictures' among action_event_types, actions, images"),
        ({"cameras": {"front": "actions"}}, r"actions is float32 \(6, 3\), expected uint8 \(t, height, width, 3\)"),
        (
            {"actions": {"key": "images", "columns": COLUMNS}},
            r"images has shape \(6, 12, 18, 3\), expected \(rows, 3",
        ),
        ({"actions": {"key": "actions", "columns": COLUMNS[:2]}}, r"shape \(6, 3\), expected \(rows, 2\) for linear_x"),
        ({"dt": None}, "no dataset 'times/actions/stamp'"),
    ],
)
def test_what_is_not_as_the_configuration_says_is_named(file: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_source(source(file, **changes))


def test_a_file_that_says_what_it_holds_is_believed(tmp_path: Path) -> None:
    for name, message in (
        ("names", "says that its columns are linear_x, angular_z, linear_y, not linear_x, linear_y, angular_z"),
        ("color", "says that its color is 'rgb', the configuration says 'bgr'"),
    ):
        path = write_h5(tmp_path / f"{name}.h5", FRAMES, ACTIONS, sentence="go")
        with h5py.File(path, "a") as content:
            if name == "names":
                content["actions"].attrs["names"] = ["linear_x", "angular_z", "linear_y"]
            else:
                content["images"].attrs["color"] = "rgb"
        with pytest.raises(DataError, match=message):
            open_source(source(path, instruction={"type": "dataset"}))


def test_actions_that_are_fewer_than_pictures(tmp_path: Path) -> None:
    path = write_h5(tmp_path / "episode_20250815_123456_2box.h5", FRAMES, ACTIONS[:5])
    with pytest.raises(DataError, match="images has 6 rows and actions 5"):
        open_source(source(path))


def test_an_action_that_is_not_finite_is_named(tmp_path: Path) -> None:
    actions = ACTIONS.copy()
    actions[2, 1] = np.inf
    path = write_h5(tmp_path / "episode_20250815_123456_2box.h5", FRAMES, actions)
    with pytest.raises(DataError, match=r"2box\.h5: actions: linear_y is inf at 1\.560 s"):
        open_source(source(path))


@pytest.mark.parametrize("keep", [0.0, 0.05, 0.6])
def test_a_truncated_file_is_named(file: Path, keep: float) -> None:
    file.write_bytes(file.read_bytes()[: int(keep * file.stat().st_size)])
    with pytest.raises(DataError, match=r"core\.h5: not a readable HDF5 file"):
        open_source(source(file))


def test_a_file_that_goes_away_is_named(file: Path) -> None:
    pictures = open_source(source(file))[0].cameras["front"]
    file.unlink()
    with pytest.raises(DataError, match=r"core\.h5: not a readable HDF5 file"):
        pictures.read([0])


def test_only_the_rows_asked_for_are_read(tmp_path: Path) -> None:
    frames = noise(40, size=(120, 160))
    path = write_h5(tmp_path / "episode_20250815_123456_2box.h5", frames, np.zeros((40, 3), np.float32))
    open_source(source(path))  # what is imported and cached once is not counted
    tracemalloc.start()
    pictures = open_source(source(path))[0].cameras["front"]
    pictures.read([30])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * frames[0].nbytes
