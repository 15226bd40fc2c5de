"""policy_node with the policy on another machine, which a second process stands for."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("rclpy")

pytest.importorskip("mujoco")
pytest.importorskip("torch")

from bench import Bench, Process
from geometry_msgs.msg import Twist

from mobile_vla_ros.share import SHIPPED_POLICY, share_path

pytestmark = pytest.mark.e2e

SERVER = "obedient_policy_node.py"
PARAMETERS = {"policy_server": "/policy_server"}
DEADLINE = 0.7  # s: up to 0.2 until the next frame is due, policy_timeout, a period of control, and transport


def start_server(bench: Bench, *arguments: str) -> Process:
    return bench.start(SERVER, "server", *arguments, parameters={"image_transport": "raw"})


@pytest.fixture
def server(bench: Bench) -> Iterator[Process]:
    server = start_server(bench)
    bench.start("camera.py", "rgb8")
    node: Any = bench.start("-m", "mobile_vla_ros.policy_node", parameters=PARAMETERS)
    bench.until_ready()
    bench.until_seeing()
    yield server
    node.check()


def test_a_server_that_is_lost_stops_the_robot_here_and_goes_on_with_a_new_instruction(
    bench: Bench, server: Process
) -> None:
    bench.instruct("drive")
    bench.until_driving()
    stop_time = bench.zero_after(server.kill())
    print(f"zero {stop_time:.3f} s after the server was killed")
    assert stop_time <= DEADLINE
    bench.until_status("stopped: policy: no answer for")
    start_server(bench)
    bench.until_status("stopped: policy server: it was started anew")
    bench.assert_still()
    bench.instruct("drive")
    bench.until_driving()


def test_what_the_policy_raises_is_said_here(bench: Bench, server: Process) -> None:
    bench.instruct("raise")
    bench.until_status("stopped: policy: RuntimeError: out of memory")
    bench.assert_still()
    bench.instruct("drive")
    bench.until_driving()


def test_a_second_node_is_not_served(bench: Bench, server: Process) -> None:
    bench.instruct("drive")
    bench.until_driving()
    bench.node.create_subscription(Twist, "second_cmd_vel", lambda _: None, 1)  # else it would not be armed
    second = bench.start(
        *(
            "-m",
            "mobile_vla_ros.policy_node",
            "--ros-args",
            "-r",
            "__node:=second",
            "-r",
            "cmd_vel:=second_cmd_vel",
        ),
        parameters={**PARAMETERS, "arm_on_activate": "true"},
    )
    bench.until(lambda: "waiting: no instruction" in second.output)
    bench.instruct("drive on")  # both hear it
    bench.until(lambda: "it serves /policy_node" in second.output)
    bench.until_driving()
    begin = len(bench.commands)
    time.sleep(1.0)
    assert min(v for _, v, _ in bench.commands[begin:]) > 0.35, [text for _, text in bench.statuses]


def test_a_server_that_is_not_there_is_named(bench: Bench) -> None:
    node = bench.start("-m", "mobile_vla_ros.policy_node", parameters=PARAMETERS)
    assert node.wait(60.0) == 1
    assert "cannot configure: no policy server answers at /policy_server within 10 s" in node.output
    assert "Traceback" not in node.output


def test_the_shipped_policy_does_its_task_from_there(bench: Bench) -> None:
    policy = {"policy": str(share_path(SHIPPED_POLICY)), "threads": 1, "image_transport": "raw"}
    bench.start("-m", "mobile_vla_ros.sim_robot", parameters={"seed": 331})
    server = bench.start("-m", "mobile_vla_ros.remote.server", parameters=policy)
    bench.until(lambda: "serves: " in server.output)
    given = {**PARAMETERS, "use_sim_time": "true"}
    bench.start("-m", "mobile_vla_ros.policy_node", parameters=given)
    bench.until_ready()
    bench.instruct("turn left")
    bench.until_status("done")
    assert max(w for _, _, w in bench.commands) > 0.5


def test_a_server_that_hears_another_camera_is_refused(bench: Bench) -> None:
    start_server(bench)
    node = bench.start(
        *("-m", "mobile_vla_ros.policy_node", "--ros-args", "-r", "camera/image_raw:=right/image_raw"),
        parameters=PARAMETERS,
    )
    assert node.wait(60.0) == 1
    assert "'/camera/image_raw'}, and this node {'camera': '/right/image_raw'}: remap one of them" in node.output


LIES = {
    "rhythm": "policy server: it answers with dt 100000 s, and has offered 0.2 s",
    "rows": "policy server: malformed message: Answered of ",
    "deep": "policy server: malformed message: Answered is nested too deeply",
    "overflow": "policy server: malformed message: Answered: a number of 401 digits",
    "infinite": "policy server: malformed message: Answered: Infinity is no JSON",
}


def test_a_server_that_lies_is_held_within_the_base_and_stops_the_robot_at_once(bench: Bench) -> None:
    server = bench.start("lying_policy_server.py")
    bench.start("camera.py", "rgb8")
    base = {"base_limits.linear_x_min": 0, "base_limits.linear_x_max": 0.5, "base_limits.angular_z_max": 1}
    node = bench.start("-m", "mobile_vla_ros.policy_node", parameters={**PARAMETERS, **base})
    bench.until_ready()
    assert (
        "the base's limits hold instead of the policy's: linear_x_min -900 to 0, linear_x_max 900 to 0.5" in node.output
    )
    bench.until_seeing()
    bench.instruct("drive")
    bench.until_driving()
    time.sleep(1.0)
    for lie, reason in LIES.items():
        known = server.output.count("fault ")
        bench.instruct(lie)
        bench.until(lambda: server.output.count("fault ") > known)  # noqa: B023
        told = float(server.output.split("fault ")[known + 1].split()[0])
        assert bench.zero_after(told, watch=1.0) < 0.5, lie
        bench.until_status(f"stopped: {reason}")
        bench.assert_still()
        bench.instruct("drive")
        bench.until_driving()
    assert max(abs(v) for _, v, _ in bench.commands) <= 0.5 + 1e-9
    assert max(abs(w) for _, _, w in bench.commands) <= 1.0 + 1e-9
    node.check()


def test_a_server_that_offers_more_than_the_time_outs_allow_does_not_start(bench: Bench) -> None:
    bench.start("lying_policy_server.py")
    node = bench.start("-m", "mobile_vla_ros.policy_node", parameters=PARAMETERS)
    assert node.wait(60.0) == 1
    assert "cannot configure: parameter plan_timeout = 0.65: at 2 m/s the robot may go" in node.output
