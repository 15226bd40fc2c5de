"""Every number stands beside its baselines in the terminal, on the page, in the JSON and in the model card."""

import json
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from mobile_vla_models.data.configuration import Rosbag2Source
from mobile_vla_models.documents import write_json
from mobile_vla_models.evaluation.compare import compare_episodes
from mobile_vla_models.evaluation.held_out import read_held_out
from mobile_vla_ros.cli.evaluate import evaluate
from mobile_vla_ros.evaluation.card import card_section, write_card
from mobile_vla_ros.evaluation.closed_loop import ClosedLoop, Score
from mobile_vla_ros.evaluation.compare import compare_loops
from mobile_vla_ros.evaluation.episode import EpisodeResult
from mobile_vla_ros.evaluation.evaluation import Evaluation, evaluate_policy
from mobile_vla_ros.evaluation.page import write_comparison, write_page
from mobile_vla_ros.evaluation.rows import failure_rows, score_rows
from mobile_vla_ros.evaluation.series import Opening
from mobile_vla_ros.evaluation.swap import SwapPair
from mobile_vla_ros.evaluation.terminal import print_comparison, print_evaluation
from mobile_vla_ros.share import SHIPPED_POLICY, share_path
from mobile_vla_ros.sim.bag import BagWriter
from mobile_vla_ros.sim.base import Velocity
from mobile_vla_ros.sim.task import Outcome, sample_episode
from mobile_vla_ros.sim.world import CameraIntrinsics

YES, NO = Outcome.REACHED, Outcome.COLLISION


def score(name: str, *outcomes: Outcome, latency: float = 0.1) -> Score:
    results = []
    for room, outcome in enumerate(outcomes):
        scene, task = sample_episode("evaluate", 0, room)
        start = scene.start_pose
        touched = scene.objects[0].name if outcome is NO else None
        path = ((start.x, start.y), (start.x + 0.5, start.y + 0.2))
        gap = 0.4 if outcome is YES else None
        results.append(
            EpisodeResult(
                "go_to",
                f"<{task.instruction}>",
                task.target,
                outcome,
                (),
                touched,
                5.0,
                gap is not None,
                gap,
                1.5,
                1.2,
                path,
            )
        )
    return Score(name, latency, tuple(results))


@pytest.fixture
def loop() -> ClosedLoop:
    return ClosedLoop(
        policy=score("policy", YES, YES, NO, YES),
        baselines=(
            score("constant forward", NO, NO, NO, NO),
            score("untrained weights", NO, NO, NO, YES),
            score("shuffled instruction", NO, NO, NO, NO),
        ),
        conditions=(score("dark", YES, NO, NO, NO), score("latency 600 ms", YES, YES, YES, YES, latency=0.6)),
        scenes=tuple(sample_episode("evaluate", 0, room)[0] for room in range(4)),
    )


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two short tasks before made-up pictures: enough to answer."""
    path = tmp_path_factory.mktemp("bags") / "bag"
    rng = np.random.default_rng(0)
    camera = CameraIntrinsics(32, 24, 16.0, 16.0, 16.0, 12.0)
    with BagWriter(path) as writer:
        for begin, sentence, turn in ((0.0, "turn left", 0.6), (2.0, "go to the red box", -0.2)):
            writer.instruction(begin + 0.01, sentence)
            for tick in range(1, 39):
                if tick % 2 == 0:
                    writer.picture(begin + tick * 0.05, rng.integers(0, 256, (24, 32, 3), dtype=np.uint8), camera)
                writer.command(begin + tick * 0.05, Velocity(0.3, turn) if tick < 26 else Velocity(0.0, 0.0))
    return path


@pytest.fixture(scope="module")
def answered(bag: Path) -> Evaluation:
    source = Rosbag2Source(type="rosbag2", path=bag, cameras={"front": "/camera/image_raw"})
    shipped = share_path(SHIPPED_POLICY)
    return evaluate_policy(Opening(shipped), 0, read_held_out(source, [shipped]), None)


@pytest.fixture
def evaluation(answered: Evaluation, loop: ClosedLoop) -> Evaluation:
    runs = loop.policy.results
    return replace(answered, loop=loop, pairs=(SwapPair(runs[0], runs[1]),))


class Headings(HTMLParser):
    """Checks that tags are closed in order, and counts pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.pictures = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            assert (dict(attrs)["src"] or "").startswith("data:image/png;base64,")
            self.pictures += 1
        elif tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def parsed(path: Path) -> tuple[Headings, str]:
    text = path.read_text(encoding="utf-8")
    page = Headings()
    page.feed(text)
    assert page.open == []
    return page, text


def test_each_row_says_how_it_differs_from_the_nominal(loop: ClosedLoop) -> None:
    rows = {row[0]: row for row in score_rows(loop)}
    assert rows["policy"][1:3] == ("75 % (30 to 95)", "-")
    assert rows["dark"][1] == "25 % (5 to 70)"
    assert rows["dark"][2].startswith("-50 % (")
    assert rows["latency 600 ms"][2].startswith("+25 % (")
    assert loop.best_baseline.name == "untrained weights"
    assert [row[0] for row in failure_rows(loop)] == ["policy", "dark", "dark", "dark"]


def test_the_page_holds_everything(evaluation: Evaluation, tmp_path: Path) -> None:
    write_page(evaluation, tmp_path / "report.html")
    page, text = parsed(tmp_path / "report.html")
    assert page.pictures == 6
    assert "&lt;your goal is the red cylinder&gt;" in text
    for words in ("untrained weights", "copy-last", "SPL", "stop F1", "another task&#x27;s", "refused"):
        assert words in text, words
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_the_json_is_strict_and_whole(evaluation: Evaluation, tmp_path: Path) -> None:
    write_json(tmp_path / "report.json", evaluation.to_dict())
    document = json.loads((tmp_path / "report.json").read_text(), parse_constant=pytest.fail)
    driven, answered = document["closed_loop"], document["held_out_episodes"]
    assert driven["policy"]["success"]["share"] == 0.75
    assert [baseline["name"] for baseline in driven["baselines"]] == [
        "constant forward",
        "untrained weights",
        "shuffled instruction",
    ]
    assert driven["conditions"][0]["success_less_nominal_with_95_newcombe"][0] == -0.5
    for figure in answered["figures"]:
        assert set(figure["baselines"]) == {"constant", "copy-last"}
        assert all(value is not None for value in figure["baselines"].values())
    assert len(document["setting"]["sha256 of the weights"]) == 64


def test_the_card_takes_the_place_of_older_ones(evaluation: Evaluation, tmp_path: Path) -> None:
    card = tmp_path / "README.md"
    card.write_text("# A policy\n\n## What it scored in closed loop\n\nold\n")
    here = replace(evaluation, opening=Opening(tmp_path))
    write_card(here, "mobile-vla evaluate --first")
    write_card(here, "mobile-vla evaluate --second")
    text = card.read_text()
    assert text.startswith("# A policy\n\n## What evaluation measured\n\n`mobile-vla evaluate --second`\n")
    assert "old" not in text
    assert "--first" not in text
    assert "| policy | 75 % (30 to 95) | - |" in text
    for line in (line for line in text.splitlines() if line.startswith("|")):
        assert line.endswith("|")
    assert "| MAE linear_x, chunk (m/s) |" in text
    assert "Held-out episodes" not in card_section(replace(evaluation, offline=None), "")


def test_two_policies_are_compared_room_by_room(evaluation: Evaluation, loop: ClosedLoop, tmp_path: Path) -> None:
    worse = replace(loop, policy=score("policy", NO, YES, NO, NO), conditions=loop.conditions[:1])
    paired = compare_loops(loop, worse)
    assert [(one.name, one.table) for one in paired] == [("nominal", (1, 2, 0, 1)), ("dark", (1, 0, 0, 3))]
    assert paired[0].p_value == 0.5
    assert paired[0].to_dict()["first_less_second"] == 0.5
    assert evaluation.offline is not None
    differences = compare_episodes(evaluation.offline, evaluation.offline)
    found = [one.value for one in differences if one.first.policy.value is not None]
    assert len(found) >= 9
    assert set(found) == {0.0}
    other = replace(evaluation, loop=worse)
    write_comparison(evaluation, other, paired, differences, tmp_path / "both.html")
    page, text = parsed(tmp_path / "both.html")
    assert page.pictures == 12
    assert "McNemar" in text
    console = Console(width=200, record=True, file=(tmp_path / "out").open("w"))
    print_evaluation(evaluation, console)
    print_comparison(paired, differences, console)
    shown = console.export_text()
    assert "untrained weights" in shown
    assert "+50 % (" in shown


APP = typer.Typer()
APP.command()(evaluate)


def test_the_command_evaluates_and_writes(bag: Path, tmp_path: Path) -> None:
    policy = tmp_path / "policy"
    shutil.copytree(share_path(SHIPPED_POLICY), policy)
    config = tmp_path / "data.yaml"
    config.write_text(f"type: rosbag2\npath: {bag}\ncameras: {{front: /camera/image_raw}}\n")
    options = ["--data", str(config), "--html", str(tmp_path / "a.html"), "--json", str(tmp_path / "a.json"), "--card"]
    result = CliRunner().invoke(APP, [str(policy), *options], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "a.json").read_text())["closed_loop"] is None
    assert f"`mobile-vla evaluate --data {config} --seed 0 --engine torch`" in (policy / "README.md").read_text()
    parsed(tmp_path / "a.html")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "say --sim"),
        (["--sim", "--condition", "fog"], "'fog', expected one of nominal"),
        (["--sim", "--latency", "0.12"], "must be a multiple of 0.05 s"),
        (["--sim", "--html", "/nowhere/at/all.html"], "/nowhere/at is no folder"),
        (["somewhere", "--sim", "--compare", "a", "b"], "--compare takes both"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: list[str], reason: str) -> None:
    result = CliRunner(env={"COLUMNS": "300"}).invoke(APP, arguments)
    assert result.exit_code == 2
    assert reason in result.output
