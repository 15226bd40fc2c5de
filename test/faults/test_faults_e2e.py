"""The part of the fault matrix that no other test over DDS has; all of it: `make faults`."""

import json
from collections.abc import Iterator
from contextlib import closing
from io import StringIO

import pytest
import typer
from typer.testing import CliRunner

pytest.importorskip("rclpy")

from rich.console import Console

from mobile_vla_ros.cli.faults import faults
from mobile_vla_ros.faults.bench import Bench
from mobile_vla_ros.faults.matrix import MATRIX, chosen
from mobile_vla_ros.faults.report import document, print_results
from mobile_vla_ros.faults.run import Result, try_fault

CHOSEN = (
    "stamps in the future",
    "stamps of another clock",
    "good and bad frames by turns",
    "camera at 1 Hz",
    "four pictures again and again",
    "policy holds the interpreter 2 s",
    "policy answers a wrong shape",
    "stop probability out of [0, 1]",
    "task done",
    "instruction empty",
    "instruction with control characters",
    "stop in words: Korean",
    "stop in words, while a sentence is repeated",
    "the same sentence at 10 Hz",
    "the same sentence at 10 Hz, when the policy has failed",
    "disarmed while it speeds up",
    "another instruction",
    "a callback waits 2 s",
    "SIGINT",
    "SIGTERM",
    "SIGHUP",
    "shutdown transition",
    "cleanup while active",
    "not active",
    "SIGSTOP, after 1 s SIGCONT",
    "clock jumps back",
    "corrupt JPEG",
    "depth image",
    "16-bit PNG",
    "PNG that announces 4 GB",
    "JPEG that declares 20000 x 20000",
    "emergency_stop silent",
    "plan used up",
    "who takes the commands on ends",
    "who takes the commands on is killed and restarted",
)


def application() -> typer.Typer:
    app = typer.Typer()
    app.command()(faults)
    return app


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("ROS_DOMAIN_ID", "ROS_AUTOMATIC_DISCOVERY_RANGE"):
            patch.setenv(name, "0")  # so that what is set there does not outlive the test
        with closing(Bench(tmp_path_factory.mktemp("bench"))) as bench:
            yield bench


@pytest.mark.e2e
@pytest.mark.parametrize("name", CHOSEN)
def test_policy_node_gets_over_it(name: str, bench: Bench) -> None:
    (fault,) = chosen([name])
    result = try_fault(bench, fault)
    print(f"{name}: zero after {result.zero} s, promised are {result.fault.bound} s")
    assert not result.not_run
    assert result.passed, (result.failures, result.out_of_bounds)


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("harmless", "hostile"),
    [
        ("unknown encoding", ["image that declares 2^31 x 2^31"]),
        ("corrupt JPEG", ["PNG that announces 4 GB", "JPEG that declares 20000 x 20000"]),
    ],
)
def test_hostile_images_take_no_memory_of_the_node(harmless: str, hostile: list[str], bench: Bench) -> None:
    (first,), rest = chosen([harmless]), chosen(hostile)
    assert try_fault(bench, first).passed
    before = bench.node.peak_memory
    for fault in rest:
        assert try_fault(bench, fault).passed
    growth = (bench.node.peak_memory - before) / 2**20
    print(f"{growth:.1f} MiB more")
    assert growth < 50.0


def test_the_matrix_has_each_fault_once() -> None:
    names = [fault.name for fault in MATRIX]
    assert len(names) == len(set(names)) >= 30


def test_a_row_that_was_not_run_is_never_passed() -> None:
    (fault,) = chosen(["camera killed"])
    result = Result(fault, not_run="there is no node", goes_on=True)
    said = StringIO()
    print_results([result], Console(file=said, width=160))
    assert not result.passed
    assert "not run" in said.getvalue()
    assert "0 of 1 passed; 1 could not be run" in said.getvalue()
    assert json.loads(json.dumps(document([result]), allow_nan=False))[0]["passed"] is False


@pytest.mark.parametrize("found", [Result(MATRIX[0], goes_on=False), Result(MATRIX[0], 0.1, ("creeps",), goes_on=True)])
def test_a_row_that_creeps_or_does_not_go_on_has_failed(found: Result) -> None:
    said = StringIO()
    print_results([found], Console(file=said, width=160))
    assert "0 of 1 passed" in said.getvalue()


def test_faults_are_listed_and_unknown_ones_refused() -> None:
    listed = CliRunner().invoke(application(), ["--list"], env={"COLUMNS": "200"})
    assert listed.exit_code == 0
    assert all(fault.name in listed.output for fault in MATRIX)
    refused = CliRunner().invoke(application(), ["--only", "rain"], env={"COLUMNS": "200"})
    assert refused.exit_code == 2
    assert "unknown fault 'rain'" in refused.output


def test_a_soak_from_the_command_line() -> None:
    done = CliRunner().invoke(application(), ["--soak", "10"])
    assert "resident memory" in done.output
    assert done.output.splitlines()[-1] == "passed"
    assert done.exit_code == 0
