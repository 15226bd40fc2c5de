"""The report as tables, JSON and a page."""

import base64
import dataclasses
import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from made_episodes import make_set
from rich.console import Console

from mobile_vla_models.data.audit import Audit, audit, flag_table, overall_table, write_json, write_page
from mobile_vla_models.data.episode import Episode

NASTY = '<script>alert("$x$")</script> [red]'


@pytest.fixture(scope="module")
def episodes() -> list[Episode]:
    made = make_set(9)
    return [
        dataclasses.replace(made[0], instruction=NASTY, odometry=None),
        *made[1:8],
        dataclasses.replace(made[8], instruction=""),
    ]


@pytest.fixture(scope="module")
def report(episodes: list[Episode]) -> Audit:
    return audit(episodes)


def refuse(constant: str) -> object:
    raise AssertionError(f"{constant} is not JSON")


def test_json_is_strict_and_says_what_was_measured(report: Audit, tmp_path: Path) -> None:
    write_json(report, tmp_path / "audit.json")
    document = json.loads((tmp_path / "audit.json").read_text("utf-8"), parse_constant=refuse)
    assert document["overall"]["episodes"] == 9
    assert document["overall"]["delays"]["angular_z"]["dead_time_s"] == pytest.approx(0.18, abs=0.03)
    first = document["episodes"][0]
    assert (first["instruction"], first["delay"], first["odometry"]) == (NASTY, None, None)
    assert document["flags"] == [json.loads(json.dumps(dataclasses.asdict(flag))) for flag in report.flags]
    assert [path.name for path in tmp_path.iterdir()] == ["audit.json"]


def test_the_page_needs_nothing_beside_it(report: Audit, episodes: list[Episode], tmp_path: Path) -> None:
    write_page(report, episodes, "a <set>", tmp_path / "audit.html")
    page = (tmp_path / "audit.html").read_text("utf-8")
    assert "<script>" not in page
    assert "Audit of a &lt;set&gt;" in page
    assert all(source.startswith("data:image/") for source in re.findall(r'src="([^"]+)"', page))
    assert "href" not in page
    plots = re.findall(r"data:image/png;base64,([^\"]+)", page)
    assert len(plots) == 6
    for plot in plots:
        picture = cv2.imdecode(np.frombuffer(base64.b64decode(plot), np.uint8), cv2.IMREAD_COLOR)
        assert picture is not None
        assert picture.std() > 5, "an empty plot"
    assert page.count("data:image/jpeg") == 3 * 6
    assert all(episode.source in page for episode in episodes)


def test_a_page_without_known_delays_has_no_plot_of_them(tmp_path: Path) -> None:
    blind = [dataclasses.replace(episode, odometry=None) for episode in make_set(2)]
    write_page(audit(blind), blind, "blind", tmp_path / "audit.html")
    assert (tmp_path / "audit.html").read_text("utf-8").count("data:image/png") == 5


def test_tables_show_flags_and_figures(report: Audit) -> None:
    console = Console(width=200, record=True, file=None, quiet=False)
    with console.capture() as capture:
        console.print(overall_table(report), flag_table(report))
    text = capture.get()
    assert "9 of 9 recordings" in text
    assert all(flag.check in text for flag in report.flags)
    assert report.flags
