"""The black box of policy_node over DDS: what it records of a stop, and that it holds no command back."""

import signal
import time
from pathlib import Path

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("rosbags")

from bench import Bench, assert_rate
from rosbags.highlevel import AnyReader

from mobile_vla_models.data.rosbag2.reader import Bag

pytestmark = pytest.mark.e2e

NODE = "obedient_policy_node.py"
CONTROL_HZ = 20.0


def recordings(folder: Path) -> list[Path]:
    return sorted(path.parent for path in folder.glob("*/metadata.yaml"))


def test_a_fault_is_recorded_with_what_was_before_it_and_what_followed(bench: Bench, tmp_path: Path) -> None:
    folder = tmp_path / "trips"
    node = bench.start(NODE, parameters={"black_box_folder": folder})
    camera = bench.start("camera.py", "rgb8")
    bench.until_ready()
    bench.until_seeing()  # what follows a silent camera would not be recorded for a while
    bench.instruct("drive")
    bench.until_driving()
    bench.trigger("disarm")
    bench.until_status("disarmed")
    bench.trigger("arm")
    bench.until_driving()
    assert not folder.exists()  # nothing of that was a fault
    begin = len(bench.commands)
    camera.kill()
    bench.until_status("stopped: camera: no usable frame")
    bench.until(lambda: bool(recordings(folder)))
    arrived = [command[0] for command in bench.commands[begin:]]
    assert_rate(arrived, CONTROL_HZ)  # with a recording written in between
    (path,) = recordings(folder)
    bench.until(lambda: f"black box: wrote {path}" in node.output)
    assert "'camera: no usable frame for" in (path / "metadata.yaml").read_text()
    with AnyReader([path]) as reader:
        counts = {connection.topic: connection.msgcount for connection in reader.connections}
        said = [
            reader.deserialize(raw, connection.msgtype).data
            for connection, _, raw in reader.messages()
            if connection.topic == "/policy_node/status"
        ]
        speeds = [
            reader.deserialize(raw, connection.msgtype).linear.x
            for connection, _, raw in reader.messages()
            if connection.topic == "/cmd_vel"
        ]
    assert set(counts) == {
        "/camera/image_raw",
        "/instruction",
        "/emergency_stop",
        "/cmd_vel",
        "/policy_node/status",
        "/policy_node/active_instruction",
        "/policy_node/provenance",
        "/diagnostics",
    }
    assert counts.pop("/emergency_stop") == 0
    assert all(counts.values())
    stopped = next(number for number, text in enumerate(said) if text.startswith("stopped: camera"))
    assert "driving" in said[:stopped]
    assert speeds[-1] == 0.0  # after the stop, too
    assert max(speeds) > 0.35


def test_an_emergency_stop_is_written_also_when_the_node_ends_at_once(bench: Bench, tmp_path: Path) -> None:
    folder = tmp_path / "trips"
    node = bench.start(NODE, parameters={"black_box_folder": folder})
    bench.start("camera.py", "rgb8")
    bench.until_ready()
    bench.until_seeing()  # what follows a silent camera would not be recorded for a while
    bench.instruct("drive")
    bench.until_driving()
    bench.press_emergency_stop(True)
    bench.until_status("stopped: emergency stop: pressed")
    node.send(signal.SIGINT)
    assert node.wait(10.0) == 0
    (path,) = recordings(folder)
    assert list(folder.iterdir()) == [path]
    assert Bag(path).custom_data["reason"] == "emergency stop: pressed"
    assert f"black box: wrote {path}" in node.output
    assert bench.commands[-1][1:] == (0.0, 0.0)


def test_a_folder_that_cannot_be_written_is_an_error_line_and_nothing_else(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "trips").write_text("in the way")
    node = bench.start(NODE, parameters={"black_box_folder": tmp_path / "trips"})
    bench.start("camera.py", "rgb8")
    bench.until_ready()
    bench.instruct("raise")
    bench.until_status("stopped: policy: RuntimeError")
    bench.until(lambda: "black box: not written: " in node.output)
    bench.instruct("drive")
    bench.until_driving()
    begin = len(bench.commands)
    time.sleep(0.5)
    assert len(bench.commands) > begin
