"""Configurations of sources: strict, and what nobody can know is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from mobile_vla_models import DataError
from mobile_vla_models.data.configuration import Hdf5Source, read_source_config, read_target_config

BAG = {"type": "rosbag2", "path": "bags", "cameras": {"front": "/camera/image_raw"}}
H5 = {
    "type": "hdf5",
    "path": "episodes",
    "cameras": {"front": ["images", "observations/images"]},
    "color": "bgr",
    "dt": 0.78,
    "actions": {"key": "actions", "columns": [{"name": "linear_x", "unit": "m/s", "scale": 1.0}]},
    "episode_start": "drop",
    "instruction": {"type": "dataset"},
}


def write(folder: Path, content: object) -> Path:
    path = folder / "source.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_a_source_is_told_by_its_type(tmp_path: Path) -> None:
    found = read_source_config(write(tmp_path, H5))
    assert isinstance(found, Hdf5Source)
    assert found.dt == 0.78
    assert read_source_config(write(tmp_path, {**H5, "dt": None})).type == "hdf5"
    assert read_source_config(write(tmp_path, BAG)).type == "rosbag2"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({**BAG, "cammeras": {}}, "cammeras: Extra inputs are not permitted"),
        ({**BAG, "type": "rosbag"}, "'rosbag' .*expected tags.* 'rosbag2', 'hdf5', 'lerobot'"),
        ({**BAG, "cameras": {}}, "cameras: .*at least 1"),
        ({**BAG, "actions": ["linear"]}, "actions.0: Input should be 'linear_x'"),
        ({**BAG, "odometry": "/cmd_vel"}, "the topic /cmd_vel is given twice"),
        ({**BAG, "instruction": {"type": "guess"}}, "'guess'"),
        ({**H5, "dt": 0.0}, "dt: .*greater than 0"),
        ({**H5, "dt": float("nan")}, "dt: "),
        ({"type": "lerobot", "path": "x", "cameras": {"front": "a"}}, "actions: Field required; lerobot.stamps"),
        ([], "document"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, content: object, message: str) -> None:
    with pytest.raises(DataError, match=rf"source\.yaml: .*{message}"):
        read_source_config(write(tmp_path, content))


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("dt", "dt must be given .seconds between rows"),
        ("color", "color must be given .*stored bgr"),
        ("actions", "actions must be given .*linear_x .m/s., linear_y .m/s., angular_z .rad/s."),
        ("episode_start", "episode_start must be given .*keep or drop it"),
        ("instruction", "instruction must be given .*scenario"),
    ],
)
def test_what_an_hdf5_file_does_not_say_is_asked_for_with_what_is_known(tmp_path: Path, key: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_source_config(write(tmp_path, {name: value for name, value in H5.items() if name != key}))


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ({"name": "linear_x", "unit": "km/h", "scale": 1.0}, "linear_x is in m/s, not 'km/h'"),
        ({"name": "angular_z", "unit": "deg/s", "scale": 1.0}, "angular_z is in rad/s, not 'deg/s'"),
        ({"name": "gripper", "unit": "1", "scale": 0.0}, "gripper: scale must not be 0"),
        ({"name": "linear_x", "unit": "m/s"}, "scale: Field required"),
    ],
)
def test_columns_are_in_si_units(tmp_path: Path, column: dict[str, object], message: str) -> None:
    content = {**H5, "actions": {"key": "actions", "columns": [column]}}
    with pytest.raises(DataError, match=message):
        read_source_config(write(tmp_path, content))


def test_columns_have_names_of_their_own(tmp_path: Path) -> None:
    column = {"name": "linear_x", "unit": "m/s", "scale": 1.0}
    with pytest.raises(DataError, match="names of their own"):
        read_source_config(write(tmp_path, {**H5, "actions": {"key": "actions", "columns": [column, column]}}))


def test_targets(tmp_path: Path) -> None:
    assert read_target_config(write(tmp_path, {"type": "lerobot", "fps": 10})).type == "lerobot"
    for content, message in (
        ({"type": "lerobot"}, "fps: Field required"),
        ({"type": "lerobot", "fps": 10, "version": "v2.0"}, "version: "),
        ({"type": "hdf5", "color": "bgr"}, "color: Extra"),
    ):
        with pytest.raises(DataError, match=message):
            read_target_config(write(tmp_path, content))
