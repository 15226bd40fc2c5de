"""The launch files start what setup.py installs, with the right topics and parameters; the latter where `launch` is."""

from __future__ import annotations

import ast
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from mobile_vla_ros.bringup.delayed_signals import MUX_DELAY, SMOOTHER_DELAY

ROOT = Path(__file__).parents[2]
LAUNCH_FILES = sorted((ROOT / "launch").glob("*.launch.py"))
OURS = {
    "mobile_vla.launch.py": {"policy_node"},
    "policy_server.launch.py": {"policy_server"},
    "sim.launch.py": {"sim_robot"},
}
EXECUTABLES = {
    "mobile_vla_ros": ("policy_node", "policy_server", "sim_robot"),
    "twist_mux": ("twist_mux",),
    "nav2_velocity_smoother": ("velocity_smoother",),
    "nav2_collision_monitor": ("collision_monitor",),
    "nav2_lifecycle_manager": ("lifecycle_manager",),
    "joy": ("joy_node",),
    "teleop_twist_joy": ("teleop_node",),
}
DELAYED = "delayed_signals.py"
NOTE_CALL = f"""#!{sys.executable}
import json, os, sys
from pathlib import Path
arguments = sys.argv
files = [Path(file) for option, file in zip(arguments, arguments[1:]) if option == "--params-file"]
parent = Path(f"/proc/{{os.getppid()}}/cmdline").read_text().split(chr(0))
call = {{"arguments": arguments, "parameters": [file.read_text() for file in files], "parent": parent}}
(Path(os.environ["CALLS"]) / f"{{os.getpid()}}.json").write_text(json.dumps(call))
"""


def own_executables(path: Path) -> set[str]:
    """Executables of this package that a launch file starts."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), filename=str(path))):
        if isinstance(node, ast.Call):
            words = {one.arg: one.value.value for one in node.keywords if isinstance(one.value, ast.Constant)}
            if words.get("package") == "mobile_vla_ros":
                found.add(words["executable"])
    return found


@pytest.mark.parametrize("path", LAUNCH_FILES, ids=lambda path: path.name)
def test_starts_installed_executables(path: Path) -> None:
    executables = own_executables(path)
    assert executables == OURS.get(path.name, set())
    setup = (ROOT / "setup.py").read_text(encoding="utf-8")
    for executable in executables:
        assert f'"{executable} = mobile_vla_ros.' in setup


@dataclass
class Started:
    """A program as a launch file has started it."""

    arguments: list[str]
    parameters: dict[str, Any]  # of all parameter files: the last one counts
    parent: list[str]  # command line of the process that started it

    @property
    def delay(self) -> float | None:
        """After which it gets signals (s); None: at once, and together with launch."""
        names = [Path(word).name for word in self.parent]
        return float(self.parent[names.index(DELAYED) + 1]) if DELAYED in names else None

    def _rules(self) -> dict[str, str]:
        after = zip(self.arguments, self.arguments[1:], strict=False)
        return dict(rule.split(":=", 1) for option, rule in after if option == "-r")

    @property
    def namespace(self) -> str:
        return self._rules().get("__ns", "/").rstrip("/")

    def topic(self, name: str) -> str:
        """What a topic of the program is called in the end."""
        given = self._rules().get(name, name)
        return given if given.startswith("/") else f"{self.namespace}/{given}"


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Started]]:
    """Launch a file, or what includes it, and return what it has started, by the name of the program."""
    pytest.importorskip("launch_ros", reason="launch comes with a ROS distribution, not as a wheel")
    from launch import LaunchDescription, LaunchService
    from launch.actions import IncludeLaunchDescription
    from launch.launch_description_sources import PythonLaunchDescriptionSource

    calls, index = tmp_path / "calls", tmp_path / "share" / "ament_index" / "resource_index" / "packages"
    programs = [tmp_path / "bin" / "ros2"]
    for folder in (calls, index, tmp_path / "bin", tmp_path / "share" / "mobile_vla_ros"):
        folder.mkdir(parents=True)
    for package, executables in EXECUTABLES.items():
        (index / package).touch()
        (tmp_path / "lib" / package).mkdir(parents=True)
        programs += [tmp_path / "lib" / package / executable for executable in executables]
    for program in programs:
        program.write_text(NOTE_CALL)
        program.chmod(0o755)
    for folder in (ROOT / "launch", ROOT / "config"):
        (tmp_path / "share" / "mobile_vla_ros" / folder.name).symlink_to(folder)
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("CALLS", str(calls))
    monkeypatch.setenv("ROS_HOME", str(tmp_path / "home"))

    def launch(name: str, *before: Any, **arguments: str) -> dict[str, Started]:
        source = PythonLaunchDescriptionSource(str(ROOT / "launch" / name))
        included = IncludeLaunchDescription(source, launch_arguments=arguments.items())
        service = LaunchService(noninteractive=True)
        service.include_launch_description(LaunchDescription([*before, included]))
        assert service.run() == 0
        started = {}
        for file in calls.iterdir():
            call = json.loads(file.read_text())
            parameters: dict[str, Any] = {}
            for text in call["parameters"]:
                # launch_ros tags its lists so; rcl does not care
                for of_node in yaml.safe_load(text.replace("!!python/tuple", "")).values():
                    parameters |= of_node["ros__parameters"]
            program = Path(call["arguments"][0]).name
            assert program not in started
            started[program] = Started(call["arguments"], parameters, call["parent"])
            file.unlink()
        return started

    return launch


def test_an_empty_argument_leaves_what_the_parameter_file_says(start: Any, tmp_path: Path) -> None:
    said = {
        "policy": "/a/policy",
        "policy_server": "",
        "engine": "onnx",
        "device": "cuda",
        "image_transport": "compressed",
        "use_sim_time": True,
        "autostart": False,
        "arm_on_activate": True,
        "dtype": "bfloat16",
        "black_box_folder": "/var/box",
        "enable_stamped_cmd_vel": True,
    }
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump({"/**": {"ros__parameters": said}}))
    assert start("mobile_vla.launch.py", params_file=str(file))["policy_node"].parameters == said

    other = {
        "policy": "123",
        "policy_server": "/workstation/policy_server",
        "engine": "torch",
        "device": "cpu",
        "image_transport": "raw",
        "use_sim_time": False,
        "autostart": True,
        "arm_on_activate": False,
        "dtype": "float32",
        "black_box_folder": "/tmp/box",
        "enable_stamped_cmd_vel": False,
    }
    arguments = {name: str(value).lower() for name, value in other.items()}
    assert start("mobile_vla.launch.py", params_file=str(file), **arguments)["policy_node"].parameters == other


def test_alone_the_node_speaks_to_the_base(start: Any) -> None:
    started = start("mobile_vla.launch.py", instruction="say", image="front/image", log_level="debug")
    assert set(started) == {"policy_node"}
    node = started["policy_node"]
    assert node.topic("cmd_vel") == "/cmd_vel"
    assert node.topic("instruction") == "/say"
    assert node.topic("camera/image_raw") == "/front/image"
    assert node.topic("camera/image_raw/compressed") == "/front/image/compressed"
    assert node.arguments[node.arguments.index("--log-level") + 1] == "debug"


@pytest.mark.parametrize(
    ("namespace", "monitor", "cmd_vel"),
    [("", False, "cmd_vel"), ("r1", True, "cmd_vel"), ("", True, "base/cmd_vel"), ("r1", False, "base/cmd_vel")],
)
def test_with_safety_commands_reach_the_base_by_the_chain_alone(
    start: Any, namespace: str, monitor: bool, cmd_vel: str
) -> None:
    given = {"safety": "true", "collision_monitor": str(monitor).lower(), "namespace": namespace, "cmd_vel": cmd_vel}
    given["emergency_stop"] = "/stop"  # one for all robots
    started = start("mobile_vla.launch.py", use_sim_time="true", **given)
    node, mux, smoother = (started[name] for name in ("policy_node", "twist_mux", "velocity_smoother"))
    inputs = {source["topic"]: mux.topic(source["topic"]) for source in mux.parameters["topics"].values()}
    assert node.topic("cmd_vel") == inputs["cmd_vel_vla"]
    assert mux.topic("cmd_vel_out") == smoother.topic("cmd_vel")
    last, out = smoother, smoother.topic("cmd_vel_smoothed")
    between = [mux.topic("cmd_vel_out"), out]
    if monitor:
        last = started["collision_monitor"]
        assert last.topic(last.parameters["cmd_vel_in_topic"]) == out
        out = last.topic(last.parameters["cmd_vel_out_topic"])
        between.append(out)
    assert out == f"{'/' if namespace else ''}{namespace}/{cmd_vel}"
    # Not remapped: what the node itself calls cmd_vel is the mux's input.
    assert [f"{node.namespace}/{topic}" for topic in node.parameters["command_topics"].split()] == between
    assert node.topic("emergency_stop") == mux.topic(mux.parameters["locks"]["emergency_stop"]["topic"]) == "/stop"
    managed = ["velocity_smoother", *(["collision_monitor"] if monitor else [])]
    assert started["lifecycle_manager"].parameters["node_names"] == managed
    assert set(started) == {"policy_node", "twist_mux", "lifecycle_manager", *managed}
    assert all(one.parameters["use_sim_time"] is True for one in started.values())


@pytest.mark.parametrize(("transport", "suffix"), [("raw", ""), ("compressed", "/compressed")])
def test_a_recording_has_what_the_policy_sees_and_the_base_is_commanded(
    start: Any, tmp_path: Path, transport: str, suffix: str
) -> None:
    started = start(
        "mobile_vla.launch.py",
        record=str(tmp_path / "runs"),
        image_transport=transport,
        namespace="r1",
        image="front/image",
        instruction="say",
        odom="odometry/filtered",
        safety="true",
        cmd_vel="base/cmd_vel",
    )
    command = started["ros2"].arguments
    assert command[1:3] == ["bag", "record"]
    topics = command[3 : command.index("--storage")]
    wanted = [f"front/image{suffix}", "camera/camera_info", "base/cmd_vel", "odometry/filtered", "say"]
    assert topics == [f"/r1/{topic}" for topic in wanted]
    assert Path(command[command.index("--output") + 1]).parent == tmp_path / "runs"
    assert "--use-sim-time" not in command
    assert started["policy_node"].topic("cmd_vel") == "/r1/cmd_vel_vla"
    assert started["policy_node"].topic("odom") == "/r1/odometry/filtered"


def test_the_chain_gets_signals_after_the_node_and_the_mux_before_what_brakes(start: Any) -> None:
    started = start("mobile_vla.launch.py", safety="true", collision_monitor="true")
    delays = {name: one.delay for name, one in started.items()}
    assert delays.pop("policy_node") == 0.0
    assert delays.pop("twist_mux") == MUX_DELAY >= 0.4  # the node waits 0.2 s for its zero to be acknowledged
    assert delays == dict.fromkeys(("velocity_smoother", "collision_monitor", "lifecycle_manager"), SMOOTHER_DELAY)
    braking = max(
        abs(speed / decel) for speed, decel in ((0.5, 2.5), (1.0, 6.0))
    )  # config/robot/velocity_smoother.yaml
    assert MUX_DELAY + 0.5 + braking < SMOOTHER_DELAY < 4.0  # launch sends SIGTERM after 5 s


def test_a_debugger_takes_the_place_of_the_delay(start: Any) -> None:
    given = {"launch-prefix": "env", "launch-prefix-filter": "policy_node"}
    started = start("mobile_vla.launch.py", safety="true", **given)
    assert {one.delay for one in started.values()} == {None}


@pytest.mark.parametrize(
    ("given", "heard"),
    [({}, "/tf"), ({"namespace": "r1"}, "/r1/tf"), ({"namespace": "r1", "tf": "/tf"}, "/tf")],
)
def test_the_monitor_hears_the_transforms_of_its_robot(start: Any, given: dict[str, str], heard: str) -> None:
    monitor = start("safety.launch.py", collision_monitor="true", **given)["collision_monitor"]
    assert monitor.topic("/tf") == heard
    assert monitor.topic("/tf_static") == f"{heard}_static"


def test_demonstrations_end_with_their_recorder(start: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from launch.actions import ExecuteProcess

    marathon = ExecuteProcess(cmd=[sys.executable, "-c", "import time; time.sleep(60)"])
    begin = time.monotonic()
    start("record.launch.py", marathon, out=str(tmp_path / "runs"))  # the recorder of these tests ends at once
    assert time.monotonic() - begin < 30.0
    assert "NOTHING IS RECORDED" in caplog.text


def test_a_robot_drives_on_without_its_recorder_which_is_an_error_in_the_log(
    start: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from launch.actions import ExecuteProcess

    done = tmp_path / "done"
    program = f"import time; time.sleep(3); open({str(done)!r}, 'w')"
    node = ExecuteProcess(cmd=[sys.executable, "-c", program])
    start("mobile_vla.launch.py", node, record=str(tmp_path / "runs"), image_transport="raw")
    assert done.exists()
    assert "NOTHING IS RECORDED" in caplog.text


def test_every_camera_of_a_policy_is_recorded(start: Any, tmp_path: Path) -> None:
    cameras = "front:=/mast/image hand:=gripper/image"
    started = start("mobile_vla.launch.py", record=str(tmp_path / "runs"), image_transport="raw", cameras=cameras)
    assert started["ros2"].arguments[3:5] == ["/mast/image", "/gripper/image"]
    node = started["policy_node"]
    assert node.topic("camera/front/image_raw") == "/mast/image"
    assert node.topic("camera/hand/image_raw/compressed") == "/gripper/image/compressed"


@pytest.mark.parametrize("stamped", [True, False])
def test_all_that_commands_velocities_says_the_same_kind_of_message(start: Any, stamped: bool, tmp_path: Path) -> None:
    kind = str(stamped).lower()
    started = start("mobile_vla.launch.py", safety="true", collision_monitor="true", enable_stamped_cmd_vel=kind)
    for program in ("policy_node", "velocity_smoother", "collision_monitor"):
        assert started[program].parameters["enable_stamped_cmd_vel"] is stamped
    assert started["twist_mux"].parameters["use_stamped"] is stamped
    started = start("sim.launch.py", enable_stamped_cmd_vel=kind)
    for program in ("policy_node", "sim_robot"):
        assert started[program].parameters["enable_stamped_cmd_vel"] is stamped
    # The recorder of these tests ends at once.
    given = {"out": str(tmp_path / "runs"), "end_with_recorder": "false"}
    started = start("record.launch.py", joystick="true", enable_stamped_cmd_vel=kind, **given)
    assert started["teleop_node"].parameters["publish_stamped_twist"] is stamped


def test_a_server_hears_the_cameras_of_its_robot(start: Any) -> None:
    here = {"namespace": "r1", "cameras": "front:=mast/image hand:=/gripper/image", "policy": "/p", "engine": "onnx"}
    server = start("policy_server.launch.py", device="cuda", dtype="float16", **here)["policy_server"]
    node = start("mobile_vla.launch.py", policy_server="/r1/policy_server", **here)["policy_node"]
    for topic in ("camera/front/image_raw", "camera/hand/image_raw/compressed"):
        assert server.topic(topic) == node.topic(topic) != f"/r1/{topic}"
    assert server.parameters == {
        "policy": "/p",
        "engine": "onnx",
        "device": "cuda",
        "dtype": "float16",
        "threads": 0,
        "image_transport": "compressed",
    }


def test_an_enclave_of_ones_own(start: Any) -> None:
    arguments = start("mobile_vla.launch.py", enclave="/robot/policy_node")["policy_node"].arguments
    assert arguments[arguments.index("--enclave") + 1] == "/robot/policy_node"


def test_the_chain_takes_parameters_of_ones_own(start: Any, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump({"/**": {"ros__parameters": {"max_velocity": [0.1, 0.0, 0.2]}}}))
    started = start("mobile_vla.launch.py", safety="true", velocity_smoother_params_file=str(file))
    assert started["velocity_smoother"].parameters["max_velocity"] == [0.1, 0.0, 0.2]
    assert "locks" in started["twist_mux"].parameters


def test_a_namespace_around_the_launch_file_holds_for_all_of_it(start: Any, tmp_path: Path) -> None:
    from launch_ros.actions import PushRosNamespace

    record, topic = str(tmp_path / "runs"), "/fleet/r1/cmd_vel"
    started = start(
        "mobile_vla.launch.py", PushRosNamespace("fleet"), namespace="r1", record=record, image_transport="raw"
    )
    assert started["policy_node"].topic("cmd_vel") == topic
    assert topic in started["ros2"].arguments


def test_the_simulated_robot_and_its_policy_are_joined(start: Any, tmp_path: Path) -> None:
    started = start("sim.launch.py", namespace="r1", policy="/p", record=str(tmp_path / "runs"), safety="true")
    robot, node = started["sim_robot"], started["policy_node"]
    assert robot.topic("camera/image_raw") == node.topic("camera/image_raw") == "/r1/camera/image_raw"
    assert robot.topic("cmd_vel") == started["velocity_smoother"].topic("cmd_vel_smoothed")
    assert node.parameters["use_sim_time"] is True
    assert node.parameters["arm_on_activate"] is False  # it must be armed, as on a robot
    assert "--use-sim-time" in started["ros2"].arguments
    assert "/r1/camera/image_raw" in started["ros2"].arguments

    assert start("sim.launch.py", arm_on_activate="true")["policy_node"].parameters["arm_on_activate"] is True


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"safety": "true", "cmd_vel": "/r1/cmd_vel_vla"}, "cmd_vel is /r1/cmd_vel_vla"),
        ({"record": "/nowhere"}, "record needs image_transport"),
        ({"cameras": "front:=/mast hand"}, "cameras: front:=/mast hand: expected several NAME:=TOPIC"),
        ({"cameras": "front:=/mast"}, "a single camera is image"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_starts(
    start: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture, arguments: dict[str, str], said: str
) -> None:
    with pytest.raises(AssertionError):
        start("mobile_vla.launch.py", **arguments)
    assert not list((tmp_path / "calls").iterdir())
    assert said in caplog.text


@pytest.mark.parametrize("path", LAUNCH_FILES, ids=lambda path: path.name)
def test_every_argument_is_described_and_has_a_default(path: Path) -> None:
    pytest.importorskip("launch_ros", reason="launch comes with a ROS distribution, not as a wheel")
    from launch.launch_description_sources import PythonLaunchDescriptionSource

    description = PythonLaunchDescriptionSource(str(path)).try_get_launch_description_without_context()
    assert description is not None
    arguments = description.get_launch_arguments()
    assert arguments
    assert all(argument.description and argument.default_value is not None for argument in arguments)
