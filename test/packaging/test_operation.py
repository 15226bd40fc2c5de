"""What is shipped to run a robot with: it parses, its names agree with each other and the nodes, it is installed."""

import configparser
import json
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from distutils.core import run_setup
from pathlib import Path
from typing import Any

import pytest
import yaml

from mobile_vla_models.data.configuration import read_source_config

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "config"
ROBOT = CONFIG / "robot"
SERVICES = {"arm", "disarm", "stop", "reset"}  # ~/ of policy_node


def parameters(path: Path) -> dict[str, Any]:
    """Of any node, in a parameter file."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert list(content) == ["/**"], path
    found = content["/**"]["ros__parameters"]
    assert isinstance(found, dict)
    return found


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield str(key)
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)
    elif isinstance(value, str):
        yield value


def test_the_chain_from_driver_to_base_has_no_gap() -> None:
    mux = parameters(ROBOT / "twist_mux.yaml")
    launch = (ROOT / "launch" / "safety.launch.py").read_text(encoding="utf-8")
    monitor = parameters(ROBOT / "collision_monitor.yaml")
    assert {source["topic"] for source in mux["topics"].values()} == {"cmd_vel_vla", "cmd_vel_joy"}
    assert '"cmd_vel_out": "cmd_vel_mux"' in launch
    assert '"cmd_vel": "cmd_vel_mux"' in launch
    assert monitor["cmd_vel_in_topic"] == "cmd_vel_smoothed"
    assert monitor["cmd_vel_out_topic"] == "cmd_vel"
    assert monitor["base_frame_id"] == parameters(CONFIG / "policy_node.yaml")["base_frame"]


def test_everything_speaks_the_same_kind_of_command() -> None:
    kinds = {
        parameters(CONFIG / "policy_node.yaml")["enable_stamped_cmd_vel"],
        parameters(ROBOT / "twist_mux.yaml")["use_stamped"],
        parameters(ROBOT / "velocity_smoother.yaml")["enable_stamped_cmd_vel"],
        parameters(ROBOT / "collision_monitor.yaml")["enable_stamped_cmd_vel"],
        parameters(ROBOT / "teleop_joy.yaml")["publish_stamped_twist"],
    }
    assert kinds == {False}


def test_the_joystick_overrides_the_policy_and_the_emergency_stop_both() -> None:
    mux = parameters(ROBOT / "twist_mux.yaml")
    policy, joystick = (mux["topics"][name]["priority"] for name in ("policy", "joystick"))
    (lock,) = mux["locks"].values()
    assert policy < joystick < lock["priority"]
    assert lock["topic"] == "emergency_stop"
    assert lock["timeout"] > 0.0  # a heartbeat: a cut cable stops the robot


def test_silence_stops_the_robot_within_half_a_second() -> None:
    assert 0.0 < parameters(ROBOT / "velocity_smoother.yaml")["velocity_timeout"] <= 0.5
    assert all(0.0 < topic["timeout"] <= 0.5 for topic in parameters(ROBOT / "twist_mux.yaml")["topics"].values())
    assert 0.0 < parameters(ROBOT / "collision_monitor.yaml")["source_timeout"] <= 0.5


def test_the_smoother_does_not_hold_back_the_shipped_policy() -> None:
    limits = json.loads((ROOT / "policies" / "sim_small" / "config.json").read_text())["action"]["limits"]
    smoother = parameters(ROBOT / "velocity_smoother.yaml")
    assert smoother["max_velocity"][0] >= limits["linear_x_max"]
    assert smoother["min_velocity"][0] <= limits["linear_x_min"]
    assert smoother["max_velocity"][2] >= limits["angular_z_max"] <= -smoother["min_velocity"][2]
    assert smoother["max_accel"][0] >= limits["linear_acceleration"]
    assert smoother["max_accel"][2] >= limits["angular_acceleration"]
    assert all(decel <= 0.0 for decel in smoother["max_decel"])  # nav2 refuses positive ones


def test_every_zone_of_the_monitor_is_there_and_of_a_kind_that_humble_knows() -> None:
    monitor = parameters(ROBOT / "collision_monitor.yaml")
    for name in monitor["polygons"]:
        assert monitor[name]["type"] == "circle"
        assert monitor[name]["action_type"] in ("stop", "slowdown", "approach")
        assert isinstance(monitor[name]["radius"], float)
    assert all(source in monitor for source in monitor["observation_sources"])


def test_the_recorder_records_what_the_reader_reads() -> None:
    launch = (ROOT / "launch" / "record.launch.py").read_text(encoding="utf-8")
    source = read_source_config(CONFIG / "data" / "sim.yaml")
    assert source.type == "rosbag2"
    assert source.instruction.type == "topic"
    wanted = [*source.cameras.values(), source.command, source.odometry, source.instruction.topic]
    for topic in wanted:
        assert topic is not None
        assert f'default_value="{topic.removeprefix("/")}"' in launch, topic


def test_the_foxglove_layout_shows_every_panel_that_it_configures() -> None:
    layout = json.loads((CONFIG / "foxglove_layout.json").read_text(encoding="utf-8"))
    assert set(layout["configById"]) == {name for name in strings(layout["layout"]) if "!" in name}
    services = {panel["serviceName"] for panel in layout["configById"].values() if "serviceName" in panel}
    assert services == {f"/policy_node/{name}" for name in SERVICES}
    assert layout["configById"]["Publish!instruction"]["topicName"] == "/instruction"
    assert json.loads(layout["configById"]["Publish!instruction"]["value"]).keys() == {"data"}


def test_the_rviz_configuration_parses_and_hears_sensors_of_any_reliability() -> None:
    content = yaml.safe_load((CONFIG / "mobile_vla.rviz").read_text(encoding="utf-8"))
    displays = {display["Name"]: display for display in content["Visualization Manager"]["Displays"]}
    assert displays["Camera"]["Topic"]["Value"] == "/camera/image_raw"
    assert displays["What the policy does"]["Topic"]["Value"] == "/policy_node/overlay"
    sensors = [display for display in displays.values() if display["Class"].endswith(("/Image", "/LaserScan"))]
    assert sensors
    assert {display["Topic"]["Reliability Policy"] for display in sensors} == {"Best Effort"}
    zones = {display["Topic"]["Value"] for display in displays.values() if display["Class"].endswith("/Polygon")}
    monitor = parameters(ROBOT / "collision_monitor.yaml")
    shown = {monitor[name].get("polygon_pub_topic") for name in monitor["polygons"] if monitor[name].get("visualize")}
    assert zones == {f"/{topic}" for topic in shown}


def allowed(enclave: str, kind: str, rule: str) -> set[str]:
    """Topics or services that an enclave of the policy may use in a way."""
    tree = ET.parse(CONFIG / "sros2" / "policy.xml").getroot()
    assert (tree.tag, tree.get("version")) == ("policy", "0.2.0")
    (found,) = (element for element in tree.iter("enclave") if element.get("path") == enclave)
    return {
        name.text or "" for group in found.iter(f"{kind}s") if group.get(rule) == "ALLOW" for name in group.iter(kind)
    }


def test_the_node_may_use_its_own_topics_and_services_and_no_others() -> None:
    node = "/mobile_vla/policy_node"
    assert {"camera/image_raw", "instruction", "emergency_stop", "odom", "/clock"} <= allowed(
        node, "topic", "subscribe"
    )
    assert {"cmd_vel", "~/status", "~/active_instruction", "~/overlay", "/diagnostics"} <= allowed(
        node, "topic", "publish"
    )
    assert {f"~/{name}" for name in SERVICES} <= allowed(node, "service", "reply")
    assert "~/change_state" in allowed(node, "service", "reply")
    assert not allowed(node, "service", "request")
    assert not {name for name in allowed(node, "topic", "publish") if name.startswith("*") or name == "/*"}


def test_an_operator_may_speak_but_not_drive() -> None:
    operator = "/mobile_vla/operator"
    publishes = allowed(operator, "topic", "publish")
    assert {"instruction", "emergency_stop"} <= publishes
    assert not {name for name in publishes if "cmd_vel" in name}
    assert {f"policy_node/{name}" for name in SERVICES} <= allowed(operator, "service", "request")


UNITS = {"mobile_vla": "mobile_vla", "mobile_vla_safety": "safety"}  # and what they launch


def unit(name: str) -> configparser.ConfigParser:
    found = configparser.ConfigParser(strict=False, interpolation=None)
    found.optionxform = str  # type: ignore[assignment,method-assign]
    found.read_string((ROOT / "systemd" / f"{name}.service").read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_ends_its_nodes_by_sigint(name: str) -> None:
    service = unit(name)["Service"]
    assert service["KillSignal"] == "SIGINT"
    assert service["KillMode"] == "mixed"
    assert float(service["TimeoutStopSec"]) > 10.0  # ros2 launch waits twice 5 s before it kills
    assert service["Restart"] == "always"  # ros2 launch ends with 0 when its node has failed
    # Only a launch that is noninteractive hands SIGINT on.
    launch = rf"\bexec ros2 launch --noninteractive mobile_vla_ros {UNITS[name]}\.launch\.py\b"
    assert re.search(launch, service["ExecStart"])
    assert unit(name)["Install"]["WantedBy"] == "multi-user.target"


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_needs_no_home_of_its_user(name: str) -> None:
    service = unit(name)["Service"]
    assert service["LogsDirectory"] == service["StateDirectory"] == "mobile_vla"
    environment = dict(word.split("=") for word in service["Environment"].split())
    assert environment == {"HOME": "%S/mobile_vla", "ROS_LOG_DIR": "%L/mobile_vla"}
    assert service["WorkingDirectory"] == environment["HOME"]


def test_the_policy_is_stopped_before_what_brings_its_last_zero_to_the_base() -> None:
    assert "mobile_vla_safety.service" in unit("mobile_vla")["Unit"]["After"].split()  # stopped in reverse order


@pytest.mark.parametrize("name", UNITS)
def test_systemd_reads_a_unit_without_complaint(name: str) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze on the PATH")
    path = ROOT / "systemd" / f"{name}.service"
    done = subprocess.run(["systemd-analyze", "verify", str(path)], stderr=subprocess.PIPE, text=True)
    assert (done.returncode, [line for line in done.stderr.splitlines() if path.name in line]) == (0, [])


@pytest.mark.parametrize("name", ["Dockerfile.jetson", "Dockerfile.desk"])
def test_a_container_ends_by_sigint(name: str) -> None:
    lines = (ROOT / "docker" / name).read_text(encoding="utf-8").splitlines()
    assert "STOPSIGNAL SIGINT" in lines
    assert 'ENTRYPOINT ["/entrypoint.sh"]' in lines
    assert (ROOT / "docker" / "entrypoint.sh").read_text(encoding="utf-8").rstrip().endswith('exec "$@"')
    # With -t launch would take the container for a terminal, and not hand on the SIGINT of `docker stop`.
    launches = [line for line in lines if "ros2 launch mobile" in line or '"launch", "mobile' in line]
    assert not launches


def test_all_of_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    files = {file for _, group in run_setup("setup.py", stop_after="init").data_files for file in group}
    for folder in ("launch", "config", "systemd"):
        shipped = {str(path.relative_to(ROOT)) for path in (ROOT / folder).rglob("*") if path.is_file()}
        assert shipped
        assert {file for file in shipped if "__pycache__" not in file} <= files
