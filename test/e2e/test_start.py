"""What a user sees in a terminal when a node cannot start, or is interrupted while it does."""

import signal

import pytest

pytest.importorskip("rclpy")

from bench import Bench

pytestmark = pytest.mark.e2e


def test_a_missing_policy_directory_is_one_message(bench: Bench) -> None:
    node = bench.start("-m", "mobile_vla_ros.policy_node", parameters={"policy": "/nowhere/policy"})
    assert node.wait() == 1
    assert len(node.output.splitlines()) == 1
    assert node.output.startswith("cannot start: ")
    assert "/nowhere/policy" in node.output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_starting_ends_it(bench: Bench, number: signal.Signals) -> None:
    program = (
        "import sys, time; from mobile_vla_ros.node_process import run; "
        "sys.exit(run(lambda: print('starting', flush=True) or time.sleep(60)))"
    )
    node = bench.start("-c", program)
    bench.until(lambda: "starting" in node.output)
    node.send(number)
    assert node.wait(10.0) == 130
    assert "Traceback" not in node.output
