"""What the doctor says of the chain behind the node, from a file system that is not this machine's; no ROS."""

from pathlib import Path

import pytest

from mobile_vla_ros.doctor import State
from mobile_vla_ros.doctor.chain import Process, check_base_timeout, check_end
from mobile_vla_ros.doctor.gather import processes

LAUNCH = "/usr/bin/python3 /opt/ros/jazzy/bin/ros2 launch mobile_vla_ros mobile_vla.launch.py safety:=true"
NODE = "/usr/bin/python3 /ws/lib/mobile_vla_ros/policy_node --ros-args -r __node:=policy_node"
MUX = "/opt/ros/jazzy/lib/twist_mux/twist_mux --ros-args -r __node:=twist_mux"
SMOOTHER = "/opt/ros/jazzy/lib/nav2_velocity_smoother/velocity_smoother --ros-args"
WRAPPER = "/usr/bin/python3 -I -S /ws/lib/python3/mobile_vla_ros/bringup/delayed_signals.py 0.5 "


def tree(root: Path, *rows: tuple[int, int, int, str]) -> list[Process]:
    """A /proc of processes: number, parent, session, command line."""
    for pid, parent, session, command in rows:
        folder = root / "proc" / str(pid)
        folder.mkdir(parents=True)
        (folder / "cmdline").write_bytes(command.replace(" ", "\0").encode() + b"\0")
        (folder / "stat").write_text(f"{pid} (a (name) b) S {parent} {session} {session} 0 -1 4194304\n")
    (root / "proc" / "self").mkdir(exist_ok=True)
    (root / "proc" / "999999").mkdir()  # it has just ended
    return processes(root)


def test_processes_are_read(tmp_path: Path) -> None:
    assert tree(tmp_path, (7, 1, 5, MUX)) == [Process(7, 1, 5, tuple(MUX.split()))]


def test_without_a_chain_there_is_nothing_to_say(tmp_path: Path) -> None:
    assert check_end(tree(tmp_path, (5, 1, 5, LAUNCH), (6, 5, 5, NODE), (8, 1, 8, "vim twist_mux.yaml"))) is None


def test_a_chain_that_ctrl_c_ends_with_the_node_is_named(tmp_path: Path) -> None:
    finding = check_end(tree(tmp_path, (5, 1, 5, LAUNCH), (6, 5, 5, NODE), (7, 5, 5, MUX), (8, 5, 5, SMOOTHER)))
    assert finding is not None
    assert (finding.check, finding.state) == ("Ctrl-C", State.WARNING)
    assert "twist_mux (7), velocity_smoother (8)" in finding.found
    assert "launch/safety.launch.py" in finding.advice


def test_a_chain_that_ends_after_the_node_is_fine(tmp_path: Path) -> None:
    wrapped = (
        (5, 1, 5, LAUNCH),
        (6, 5, 5, WRAPPER + NODE),
        (16, 6, 16, NODE),
        (7, 5, 5, WRAPPER + MUX),
        (17, 7, 17, MUX),
        (8, 5, 5, "python3 -m mobile_vla_ros.bringup.delayed_signals 3 " + SMOOTHER),
        (18, 8, 18, SMOOTHER),
    )
    finding = check_end(tree(tmp_path, *wrapped))
    assert finding is not None
    assert finding.state is State.OK


@pytest.mark.parametrize(
    ("session", "state"), [(5, State.WARNING), (6, State.WARNING), (16, State.WARNING), (17, State.OK)]
)
def test_the_sessions_of_launch_and_node_count(tmp_path: Path, session: int, state: State) -> None:
    """Two launches, 5 and 6, in terminals of their own, and a node that is wrapped, in session 16."""
    rows = ((5, 1, 5, LAUNCH), (6, 1, 6, LAUNCH), (9, 5, 5, WRAPPER + NODE), (16, 9, 16, NODE), (17, 1, session, MUX))
    finding = check_end(tree(tmp_path, *rows))
    assert finding is not None
    assert finding.state is state


@pytest.mark.parametrize(
    ("found", "state"),
    [
        (("cmd_vel_timeout", 0.5), State.OK),
        (("velocity_timeout", 0.25), State.OK),
        (("velocity_timeout", 1.0), State.WARNING),
        (("cmd_vel_timeout", 0.0), State.WARNING),
        (("cmd_vel_timeout", -1.0), State.WARNING),
        (("cmd_vel_timeout", float("nan")), State.WARNING),
        (None, State.WARNING),
    ],
)
def test_a_base_that_does_not_stop_by_itself(found: tuple[str, float] | None, state: State) -> None:
    (finding,) = check_base_timeout({"/base": found})
    assert (finding.check, finding.state) == ("time-out of /base", state)
    assert bool(finding.advice) == (state is not State.OK)
    assert ("never stops" in finding.found) == (found is not None and found[1] <= 0.0)
