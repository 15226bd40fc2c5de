"""Runs through the node stand beside those in process, and a machine that is too slow for them is named."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from mobile_vla_models.documents import write_json
from mobile_vla_ros.cli.evaluate import evaluate
from mobile_vla_ros.evaluation.card import card_section
from mobile_vla_ros.evaluation.closed_loop import ClosedLoop, Score
from mobile_vla_ros.evaluation.episode import EpisodeResult
from mobile_vla_ros.evaluation.evaluation import Evaluation
from mobile_vla_ros.evaluation.node_rows import findings, machine_rows, node_score_rows, run_rows, step_rows
from mobile_vla_ros.evaluation.node_series import RANDOM_LATENCY, NodeRun, NodeSeries, Pace, Transport
from mobile_vla_ros.evaluation.page import write_page
from mobile_vla_ros.evaluation.series import Opening
from mobile_vla_ros.evaluation.steps import Step, Steps
from mobile_vla_ros.evaluation.terminal import print_evaluation
from mobile_vla_ros.sim.task import Outcome, sample_episode

YES, NO = Outcome.REACHED, Outcome.COLLISION
STEPS = Steps(100, 20, Step(0.049, 0.05), Step(0.12, 0.15), 0.002, (), ())
PACE = Pace(wall=10.0, simulated=10.0, frames=100, late=0)
TRANSPORT = Transport(sent=400, received=400, refused=0, replaced=0)


def results(*outcomes: Outcome) -> tuple[EpisodeResult, ...]:
    path = ((0.0, 0.0), (1.0, 0.5))
    return tuple(
        EpisodeResult("go_to", "go to it", "red box", outcome, (), None, 5.0, False, None, 1.5, 1.2, path)
        for outcome in outcomes
    )


def series(condition: str, *outcomes: Outcome, **changes: object) -> NodeSeries:
    runs = tuple(NodeRun(result, STEPS, PACE, (0.1, 0.2)) for result in results(*outcomes))
    return replace(NodeSeries(condition, runs, TRANSPORT), **changes)  # type: ignore[arg-type]


@pytest.fixture
def loop() -> ClosedLoop:
    return ClosedLoop(
        policy=Score("policy", 0.1, results(YES, YES, YES, NO)),
        baselines=(Score("constant forward", 0.1, results(NO, NO, NO, YES)),),
        conditions=(),
        scenes=tuple(sample_episode("evaluate", 0, room)[0] for room in range(4)),
    )


@pytest.fixture
def evaluation(loop: ClosedLoop) -> Evaluation:
    node = (series("nominal", YES, YES, NO, NO), series(RANDOM_LATENCY, YES, NO, NO, NO))
    return Evaluation(Opening(Path("somewhere")), "0" * 64, 0, None, None, loop, (), node)


def test_both_ways_stand_side_by_side_and_are_paired(evaluation: Evaluation) -> None:
    rows = node_score_rows(evaluation.node, evaluation.loop)
    assert [(row[0], row[1][:4]) for row in rows] == [
        ("in process", "75 %"),
        ("through the node", "50 %"),
        ("through the node, random latency", "25 %"),
    ]
    assert rows[0][2] == "-"
    assert rows[1][2].startswith("-25 % (")
    alone = node_score_rows(evaluation.node, None)
    assert alone[0][2] == "-"
    assert alone[1][2].startswith("-25 % (")
    paired = evaluation.paired_with_node
    assert paired is not None
    assert (paired.table, paired.best_baseline) == ((2, 1, 0, 1), "25 % (constant forward)")
    assert replace(evaluation, loop=None).paired_with_node is None


@pytest.mark.parametrize(("outcomes", "where"), [((YES, YES, NO, NO), "within"), ((NO, NO, NO, NO), "outside")])
def test_it_is_said_whether_success_lies_within_the_interval(
    evaluation: Evaluation, outcomes: tuple[Outcome, ...], where: str
) -> None:
    node = (series("nominal", *outcomes),)
    (sentence,) = findings(node, evaluation.loop)
    assert f"is {where} the 95 % interval of the runs in process, 30 to 95 %." in sentence
    document = replace(evaluation, node=node).to_dict()["in_process_and_through_node"]
    assert document["within_wilson_95_in_process"] is (where == "within")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"pace": Pace(12.0, 10.0, 100, 0)}, "the simulator ran at 0.83 of real time"),
        ({"pace": Pace(10.0, 10.0, 100, 9)}, "18 of 200 frames were late"),
        ({"latencies": (0.1, 0.5)}, "5 % of the plans came 500 ms after their frames, or later"),
        ({"transport": Transport(400, 300, 0, 0)}, "100 of 400 frames did not arrive"),
        ({"transport": Transport(400, 400, 0, 80)}, "the policy was too slow for 80 of 400 frames"),
    ],
)
def test_a_machine_that_is_too_slow_is_named(changes: dict[str, object], reason: str) -> None:
    def slow(condition: str) -> NodeSeries:
        found = series(condition, YES, YES)
        if "transport" in changes:
            return replace(found, transport=changes["transport"])  # type: ignore[arg-type]
        return replace(found, runs=tuple(replace(run, **changes) for run in found.runs))  # type: ignore[arg-type]

    assert slow("nominal").too_slow == reason
    (sentence,) = findings([slow("nominal")], None)
    assert f"too slow ({reason})" in sentence
    # Frames that were held back come late, and several at once: neither that nor the loss of some is the machine's.
    assert slow(RANDOM_LATENCY).too_slow == (reason if "pace" in changes else "")
    assert series("nominal", YES, YES).too_slow == ""


def test_what_is_beyond_the_limits_is_named() -> None:
    found = series("nominal", YES, YES)
    bad = replace(found.runs[1], steps=replace(STEPS, beyond=("(0.1, 0) to (0.4, 0)",)))
    found = replace(found, runs=(found.runs[0], bad))
    assert findings([found], None) == ["nominal: beyond the limits: (0.1, 0) to (0.4, 0)"]
    assert [row[-2] for row in run_rows([found])] == ["0", "1"]
    assert step_rows([found])[0] == (
        *("nominal", "200", "40", "0.049 (0.050) m/s", "0.120 (0.150) rad/s", "2.0 ms", "1", "0"),
    )
    assert machine_rows([found])[0][-2:] == ("150 ms", "200 ms")


def test_a_run_without_a_plan_has_no_latency() -> None:
    found = series("nominal", NO, NO)
    found = replace(found, runs=tuple(replace(run, latencies=()) for run in found.runs))
    assert machine_rows([found])[0][-2:] == ("-", "-")
    assert found.to_dict()["latency_s"] is None
    json.dumps(found.to_dict(), allow_nan=False)


def test_terminal_page_card_and_json_have_it_all(evaluation: Evaluation, tmp_path: Path) -> None:
    write_page(evaluation, tmp_path / "a.html")
    console = Console(width=300, record=True, file=(tmp_path / "out").open("w"))
    print_evaluation(evaluation, console)
    for text in ((tmp_path / "a.html").read_text(), console.export_text(), card_section(evaluation, "")):
        for words in ("in process (first), through the node (second)", "0.049 (0.050) m/s", "is within the 95 %"):
            assert words in text, words
    write_json(tmp_path / "a.json", evaluation.to_dict())
    document = json.loads((tmp_path / "a.json").read_text(), parse_constant=pytest.fail)
    nominal, late = document["through_node"]
    assert nominal["success"]["share"] == 0.5
    assert nominal["runs"][2]["result"]["outcome"] == "collision"
    assert nominal["runs"][2]["steps"]["linear_x"] == {"change": 0.049, "allowed": 0.05}
    assert late["latency_s"] == {"p50": pytest.approx(0.15), "p95": pytest.approx(0.2)}
    assert document["in_process_and_through_node"]["only_first"] == 1


APP = typer.Typer()
APP.command()(evaluate)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--node", "--compare", "a", "b"], "--node drives one policy: not with --compare"),
        (["--node", "--workers", "2"], "--workers: it needs --sim"),
        (["--node", "--latency", "0.1"], "--latency: it needs --sim"),
        (["--node", "--swap-pairs", "3"], "--swap-pairs: it needs --sim"),
        (["--data", "a.yaml", "--episodes", "3"], "--episodes: it needs --sim or --node"),
        (["--node", "--condition", "dark"], "'dark', needs --sim"),
        (["--sim", "--condition", "random latency"], "'random latency', needs --node"),
        (["--node", "--condition", "fog"], "'fog', expected one of nominal, random latency"),
    ],
)
def test_options_that_do_not_go_together_are_refused_by_name(arguments: list[str], reason: str) -> None:
    refused = CliRunner(env={"COLUMNS": "300"}).invoke(APP, arguments)
    assert refused.exit_code == 2
    assert reason in refused.output
