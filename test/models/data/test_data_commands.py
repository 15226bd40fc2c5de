"""`mobile-vla data` over recordings on disk."""

from __future__ import annotations

import json
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
