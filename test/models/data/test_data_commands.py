"""`mobile-vla data` over recordings on disk."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from runs import drive, noise, write_messages
from typer.testing import CliRunner, Result

from mobile_vla_models.data.configuration import read_source_config
from mobile_vla_models.data.sources import open_source
from mobile_vla_models.errors import DataError
from mobile_vla_ros.cli.program import app

ROOT = Path(__file__).parents[3]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    write_messages(tmp_path / "bags" / "run", drive(noise(12, size=(24, 32))))
    path = tmp_path / "source.yaml"
    path.write_text(f"type: rosbag2\npath: {tmp_path / 'bags'}\ncameras: {{front: /cam/image_raw}}\nodometry: /odom\n")
    return path


def run(*words: object) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, ["data", *map(str, words)])


def test_an_audit_is_printed_and_written(source: Path, tmp_path: Path) -> None:
    html, document = tmp_path / "audit.html", tmp_path / "audit.json"
    result = run("audit", source, "--html", html, "--json", document)
    assert "1 of 1 recordings" in result.output
    errors = [flag for flag in json.loads(document.read_text())["flags"] if flag["severity"] == "error"]
    assert result.exit_code == (1 if errors else 0)
    assert html.read_text().lower().startswith("<!doctype html>")


def test_a_conversion_reads_back_by_what_it_wrote(source: Path, tmp_path: Path) -> None:
    target, out = tmp_path / "target.yaml", tmp_path / "out"
    target.write_text("type: hdf5\n")
    result = run("convert", source, target, out)
    assert result.exit_code == 0, result.output
    assert "1 episodes, 12 pictures" in result.output
    (episode,) = open_source(read_source_config(out / "source.yaml"))
    assert episode.instruction == "go to the red box"


def test_an_unknown_key_is_an_error(source: Path, tmp_path: Path) -> None:
    source.write_text(source.read_text() + "camera: front\n")
    result = run("audit", source)
    assert isinstance(result.exception, DataError)
    assert "camera" in str(result.exception)


def test_the_shipped_configurations_are_read() -> None:
    assert read_source_config(ROOT / "config" / "data" / "sim.yaml").type == "rosbag2"


def break_frames(source: Path, count: int, broken: range) -> None:
    """Record anew, with depth in the place of some frames."""
    shutil.rmtree(source.parent / "bags")
    messages, number = [], 0
    for topic, time, message in drive(noise(count, size=(24, 32))):
        if topic.startswith("/cam"):
            if number in broken:
                message.data = message.data[:-20]  # type: ignore[attr-defined]
            number += 1
        messages.append((topic, time, message))
    write_messages(source.parent / "bags" / "run", messages)


@pytest.mark.parametrize(("count", "severity"), [(40, "warning"), (12, "error")])
def test_frames_that_cannot_be_used_are_counted_by_audit_and_conversion(
    source: Path, tmp_path: Path, count: int, severity: str
) -> None:
    break_frames(source, count, range(3, 5))
    document = tmp_path / "audit.json"
    result = run("audit", source, "--json", document, "--html", tmp_path / "audit.html")
    found = json.loads(document.read_text())
    [flag] = [flag for flag in found["flags"] if "left out" in flag["found"]]
    assert flag["severity"] == severity
    assert flag["found"].startswith(f"camera front: 2 of {count} frames left out: compressed image of format 'png'")
    assert sum(found["episodes"][0]["cameras"]["front"]["left_out"].values()) == 2
    assert f"2 of {count} frames left out" in " ".join(result.output.split())
    target = tmp_path / "target.yaml"
    target.write_text("type: hdf5\n")
    result = run("convert", source, target, tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert f"1 episodes, {count - 2} pictures" in result.output
    assert f"camera front: 2 of {count} frames left out: compressed image of format 'png'" in result.output
    (episode,) = open_source(read_source_config(tmp_path / "out" / "source.yaml"))
    assert len(episode.cameras["front"].read(range(count - 2))) == count - 2


def test_an_episode_without_a_usable_frame_is_named_by_audit_and_conversion(source: Path, tmp_path: Path) -> None:
    break_frames(source, 12, range(12))
    result = run("audit", source)
    assert isinstance(result.exception, DataError)
    assert "holds no episode that can be used: episode run#0 left out: camera front: 12 of 12" in str(result.exception)
    write_messages(tmp_path / "bags" / "good", drive(noise(12, size=(24, 32))))
    document = tmp_path / "audit.json"
    result = run("audit", source, "--json", document)
    assert result.exit_code == 1, result.output
    [flag] = [flag for flag in json.loads(document.read_text())["flags"] if "left out" in flag["found"]]
    assert (flag["severity"], flag["episodes"]) == ("error", ["run#0"])
    assert flag["found"].startswith("episode run#0 left out: camera front: 12 of 12 frames left out: ")
    target = tmp_path / "target.yaml"
    target.write_text("type: hdf5\n")
    result = run("convert", source, target, tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "1 episodes, 12 pictures" in result.output
    assert "episode run#0 left out: camera front: 12 of 12 frames left out" in result.output
